"""Bringing what a file says into the service: what is to be sent, and what came of it. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

CREATED, CHANGED, UNCHANGED = "created", "changed", "unchanged"


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `wanted` that `found` does not have so; what is not said stays as it is."""
    return {name: value for name, value in wanted.items() if not _is_same(value, found.get(name))}


def _is_same(wanted: Any, found: Any) -> bool:
    """Whether the service would show `wanted` as `found`: it fills in what was left out, and moments are of UTC."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(_is_same(value, found.get(name)) for name, value in wanted.items())
    if isinstance(wanted, str) and isinstance(found, str) and wanted != found:
        moments = _moment(wanted), _moment(found)
        return None not in moments and moments[0] == moments[1]
    return bool(wanted == found)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone() if "T" in text else None
    except (ValueError, OverflowError):
        return None
