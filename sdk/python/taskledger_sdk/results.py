"""What a handler may return: JSON that the ledger can keep. Pure."""

from __future__ import annotations

import json
from typing import Any

from taskledger_sdk.errors import PermanentError

RESULT_BYTES = 1024 * 1024


def storable_result(result: Any) -> Any:
    """The result, if the ledger can keep it. Raises PermanentError: running it again would return the same."""
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"the handler returned what JSON cannot hold: {error}") from error
    if "\\u0000" in text and _holds_nul(result):
        raise PermanentError("the handler returned a NUL character, which PostgreSQL cannot keep")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise PermanentError("the handler returned half a surrogate pair, which PostgreSQL cannot keep") from error
    if size > RESULT_BYTES:
        raise PermanentError(f"the handler returned {size} bytes; at most {RESULT_BYTES} fit into a row")
    return result


def _holds_nul(value: Any) -> bool:
    """Whether a NUL character is anywhere in a JSON value; its escape as six plain characters is none."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list | tuple) and any(_holds_nul(part) for part in value)
