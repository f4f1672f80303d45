"""What went wrong, in words that fit a row: type, message, traceback, and a fingerprint of the cause. Pure."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from app.services.recovery.fingerprints import fingerprint_of

MESSAGE_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 20_000
TRACEBACK_PARTS = 1_000  # the last of a chain of causes; a part is a frame with its line, or a message
SCRUBBED_CHARACTERS = 100_000
MAX_SECRET = 20_000  # characters; a private key in JSON has some thousands


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One failure of one attempt."""

    type: str
    message: str
    traceback: str | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for failures with the same cause, whatever values their messages name."""
        return fingerprint_of(self.type, self.message, self.traceback)

    def as_json(self) -> dict[str, str]:
        """The `error` column."""
        error = {"type": self.type, "message": self.message}
        return error if self.traceback is None else {**error, "traceback": self.traceback}


def of_exception(error: BaseException, *, scrub: Callable[[str], str]) -> Failure:
    """Describe an exception that a handler raised; `scrub` takes the secrets out, before anything is cut."""
    lines = [_scrubbed(line, scrub) for line in traceback.format_exception(error)[-TRACEBACK_PARTS:]]
    return Failure(
        type=type(error).__name__,
        message=_scrubbed(_said(error), scrub)[:MESSAGE_CHARACTERS],
        traceback="".join(lines)[-TRACEBACK_CHARACTERS:],
    )


def _scrubbed(text: str, scrub: Callable[[str], str]) -> str:
    """The text without secrets. Of a long one only the beginning is kept: to scrub 50 MB takes longer than a lease.

    The cut may go through a secret, which is not recognised then: what could be the beginning of one is left out.
    """
    if len(text) <= SCRUBBED_CHARACTERS:
        return scrub(storable(text))
    beginning = scrub(storable(text[:SCRUBBED_CHARACTERS]))
    return f"{beginning[:-MAX_SECRET]} ... ({len(text)} characters)\n"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 (a __str__ of somebody else's that fails must not cost the outcome)
        return f"(its message cannot be read: {type(fault).__name__})"


def of_sensitive(error: BaseException) -> Failure:
    """Describe an exception without its text, which may quote a payload that nobody may read in a row."""
    kind = type(error).__name__
    return Failure(type=kind, message=f"{kind}; its message is not kept because the payload is sensitive")


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot keep: NUL characters and lone surrogates."""
    return text.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()
