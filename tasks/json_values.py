"""What holds for any JSON value. Pure."""

from typing import Any


def depth_exceeds(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested in more levels than these; never by recursion, which it guards against."""
    level = [value] if isinstance(value, list | tuple | dict) else []  # all lists and objects of one depth
    for _ in range(levels):
        inside = (part.values() if isinstance(part, dict) else part for part in level)
        level = [below for values in inside for below in values if isinstance(below, list | tuple | dict)]
    return bool(level)
