"""What went wrong, in words that fit a row: type, message, traceback, and a fingerprint of the cause. Pure."""

import hashlib
import re
import traceback
from dataclasses import dataclass

MESSAGE_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 20_000
_VARYING = re.compile(
    r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|\d+(\.\d+)?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One failure of one attempt."""

    type: str
    message: str
    traceback: str | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for failures of the same kind whose messages differ only in numbers and ids."""
        cause = f"{self.type}\n{_VARYING.sub('#', self.message)}"
        return hashlib.sha256(cause.encode(errors="replace")).hexdigest()[:16]

    def as_json(self) -> dict[str, str]:
        """The `error` column."""
        error = {"type": self.type, "message": self.message}
        return error if self.traceback is None else {**error, "traceback": self.traceback}


def of_exception(error: BaseException) -> Failure:
    """Describe an exception that a handler raised."""
    lines = "".join(traceback.format_exception(error))
    return Failure(
        type=type(error).__name__,
        message=storable(str(error))[:MESSAGE_CHARACTERS],
        traceback=storable(lines)[-TRACEBACK_CHARACTERS:],
    )


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot keep: NUL characters and lone surrogates."""
    return text.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()
