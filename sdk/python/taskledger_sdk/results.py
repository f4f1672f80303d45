"""What a handler may return, and keep as a checkpoint: JSON that the ledger can hold. Pure."""

from __future__ import annotations

from typing import Any

from taskledger_sdk.errors import PermanentError
from taskledger_sdk.json_values import compact

RESULT_BYTES = 1024 * 1024
CHECKPOINT_BYTES = 64 * 1024


def storable_result(result: Any) -> Any:
    """The result, if the ledger can keep it. Raises PermanentError: running it again would return the same."""
    return storable(result, "the handler returned", RESULT_BYTES)


def storable_checkpoint(value: Any) -> Any:
    """The value, if the ledger can keep it as a checkpoint. Raises PermanentError."""
    return storable(value, "task.checkpoint() was given", CHECKPOINT_BYTES)


def storable(value: Any, what: str, most_bytes: int) -> Any:
    """The value, if the ledger can keep it; `what` begins the sentence otherwise. Raises PermanentError."""
    try:
        text = compact(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"{what} what JSON cannot hold: {error}") from error
    if "\\u0000" in text and _holds_nul(value):
        raise PermanentError(f"{what} a NUL character, which PostgreSQL cannot keep")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise PermanentError(f"{what} half a surrogate pair, which PostgreSQL cannot keep") from error
    if size > most_bytes:
        raise PermanentError(f"{what} {size} bytes; at most {most_bytes} are kept; refer to an artifact")
    return value


def _holds_nul(value: Any) -> bool:
    """Whether a NUL character is anywhere in a JSON value; its escape as six plain characters is none."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list | tuple) and any(_holds_nul(part) for part in value)
