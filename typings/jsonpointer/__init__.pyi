"""What the service uses of jsonpointer, which has no types of its own."""

class JsonPointerException(Exception): ...

class JsonPointer:
    parts: list[str]
    def __init__(self, pointer: str) -> None: ...
