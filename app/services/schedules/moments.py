"""From a cron expression and a zone to moments: exact over every change of the clocks.

The rules (docs/explanation/schedules.md) are Debian cron's. cronsim walks zoned times itself, but in whole hours, and
so loses 02:00 of `*/30 2 * * *` where clocks move by half an hour (Australia/Lord_Howe); here it only sees local times.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from app.services.schedules import cron as crons
from app.services.schedules import zones
from app.services.schedules.cron import Cron

A_DAY_AND_MORE = timedelta(hours=25)  # no zone moves its clocks by more than a day, or twice within one


@lru_cache(maxsize=8192)
def next_moment(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """The first moment after `after`, in UTC; None when none comes in 50 years. Raises Refused (cron, time_zone)."""
    parsed, zone = crons.parse(cron), zones.find(time_zone)
    return _at_times_of_day(parsed, zone, after) if parsed.is_fixed else _along_the_clock(parsed, zone, after)


def forget() -> None:
    """Read zone data anew."""
    zones.forget()
    next_moment.cache_clear()


def _at_times_of_day(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Each local time once: at its first coming when it comes twice, at the end of the gap when it is left out."""
    local: datetime | None = zones.local(zone, after)
    while local is not None and (local := cron.after(local)) is not None:
        moment = _first_coming(zone, local)
        if moment > after:  # not so in the second pass of an overlap: its first coming is over
            return moment
    return None


def _first_coming(zone: ZoneInfo, local: datetime) -> datetime:
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if zones.local(zone, moment) == local:
        return moment
    # Left out by the clocks. With fold=1 it is read by the offset after the gap, which is a moment before the gap.
    return zones.first_change(zone, local.replace(tzinfo=zone, fold=1).astimezone(UTC), moment)


def _along_the_clock(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Every moment whose local time matches: both passes of an overlap, nothing in a gap."""
    since, offset = after, zones.offset(zone, after)
    local = zones.local(zone, after)
    while (match := cron.after(local)) is not None:
        found = (match - offset).replace(tzinfo=UTC)
        looks = (since + A_DAY_AND_MORE, found - A_DAY_AND_MORE, found)
        changed = next((look for look in looks if since < look <= found and zones.offset(zone, look) != offset), None)
        if changed is None:
            return found
        # While the offset stays as it was nothing matches; go on where it changes, that moment included.
        since = zones.first_change(zone, since, changed)
        offset = zones.offset(zone, since)
        local = zones.local(zone, since) - timedelta(seconds=1)
    return None
