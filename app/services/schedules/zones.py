"""Time zones by their IANA names, from the zone data of this machine (or the tzdata package)."""

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from app.errors import Refused

NOT_ZONES = {"localtime", "Factory", "posixrules"}  # files beside the zones, different on each machine


@lru_cache(maxsize=1)
def known() -> frozenset[str]:
    """The names that can be used."""
    return frozenset(available_timezones() - NOT_ZONES)


def find(name: str) -> ZoneInfo:
    """The zone of this name. Raises Refused, which knows the nearest name."""
    if name not in known():
        by_lower = {zone.lower(): zone for zone in known()}
        nearest = get_close_matches(name[:100].lower(), by_lower, n=1)
        guess = f"the nearest is {by_lower[nearest[0]]}" if nearest else "such as Europe/Berlin or UTC"
        raise Refused({"time_zone": [f"{name[:100]!r} is no IANA time zone; {guess}"]}, code="unknown_time_zone")
    return ZoneInfo(name)


def forget() -> None:
    """Read zone data anew from now on: it changes a few times a year."""
    known.cache_clear()
    ZoneInfo.clear_cache()


def offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    """How far local time is ahead of UTC at this moment."""
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def local(zone: ZoneInfo, moment: datetime) -> datetime:
    """What clocks show there, without a zone."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def first_change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first whole second after `low` whose offset is no longer that of `low`; the offset of `high` differs."""
    before, low, high = offset(zone, low), low.astimezone(UTC), high.astimezone(UTC)
    low = low.replace(microsecond=0)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
    return high
