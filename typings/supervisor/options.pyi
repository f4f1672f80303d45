from collections.abc import Sequence
from typing import Any, NoReturn

class ProcessConfig:
    name: str
    autorestart: Any
    startretries: int

class ServerOptions:
    first: bool
    test: bool
    mood: int
    poller: Any  # a BasePoller, or what stands before it

    def __init__(self) -> None: ...
    def realize(self, args: Sequence[str] | None = ...) -> None: ...
    def execve(self, filename: str, argv: list[str], env: dict[str, str]) -> None: ...
    def get_signal(self) -> int | None: ...
    def close_logger(self) -> None: ...
    def _exit(self, code: int) -> NoReturn: ...
