"""What modules that `tledger types --python` writes are made of. Light: it loads nothing of the client."""

from enum import Enum
from typing import Any, ClassVar, Final


class Unset(Enum):
    """The type of UNSET."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return self.value

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET
"""A field that is not sent, so that the service takes its default."""
JSON_NAME: Final = "json_name"
"""In the metadata of a dataclass field: what it is called in JSON, where Python cannot call it so."""


class TypedPayload:
    """The payload of a task type, as a dataclass: `client.submit(CountWords(text="…"))`.

    TASK_TYPE is the name of the type, and SCHEMA_HASH stands for the schema that the class was made from. It is there
    to compare; the client sends what it is given, whatever schema the service has now.
    """

    TASK_TYPE: ClassVar[str]
    SCHEMA_HASH: ClassVar[str]


class ValuePayload(TypedPayload):
    """A payload that is no object, such as a text: its one field, `value`, is all of it."""

    value: Any
