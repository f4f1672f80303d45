"""The payload of an undo, with what its step returned put in. Pure."""

from __future__ import annotations

from typing import Any

FROM, LITERAL = "$from", "$literal"


def rendered(template: Any, result: Any) -> Any:
    """The payload: {"$from": "result.id"} is a part of the result, null where that is not known or not there.

    What stands in {"$literal": …} is left as it is.
    """
    if isinstance(template, list):
        return [rendered(each, result) for each in template]
    if not isinstance(template, dict):
        return template
    if set(template) == {LITERAL}:
        return template[LITERAL]
    if set(template) == {FROM} and isinstance(template[FROM], str):
        source, *path = template[FROM].split(".")
        return _below(result, path) if source == "result" else None
    return {key: rendered(value, result) for key, value in template.items()}


def _below(value: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
