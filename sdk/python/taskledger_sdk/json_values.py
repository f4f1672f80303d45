"""What can be asked of any JSON value, however deep, and its text. Pure."""

import json
from typing import Any

# json.dumps would make an encoder at each call, which takes as long as a small value.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def compact(value: Any) -> str:
    """JSON text without spaces. Raises ValueError for NaN and Infinity, TypeError for what JSON does not have."""
    return _encode(value)


def depth_exceeds(value: Any, levels: int) -> bool:
    """Whether lists and objects lie in each other more than `levels` deep; a value that is neither has no level.

    It looks at all lists and objects of one level at once. Recursion would exhaust the stack, which this guards.
    """
    level = [value] if isinstance(value, list | tuple | dict) else []
    for _ in range(levels):
        if not level:
            return False
        inside = (part.values() if isinstance(part, dict) else part for part in level)
        level = [below for values in inside for below in values if isinstance(below, list | tuple | dict)]
    return bool(level)
