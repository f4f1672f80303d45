"""Time zones in payloads: the names of the IANA database."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from marshmallow import ValidationError


@cache
def zones() -> frozenset[str]:
    """The names that are known here; found once, because a whole tree of files is read for them."""
    return frozenset(available_timezones())


ZONE_SCHEMA = {"enum": [*sorted(zones()), None]}


def zone_name(value: Any) -> Any:
    """A validator of fields: a name such as Europe/Berlin. Raises ValidationError."""
    if value is not None and value not in zones():
        raise ValidationError(f"{str(value)[:100]!r} is no IANA time zone; write, for example, Europe/Berlin")
    return value
