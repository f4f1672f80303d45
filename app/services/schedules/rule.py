"""When a schedule has its slots: a cron expression in a zone within bounds, or one moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.models import ScheduleRecord
from app.services.schedules.moments import next_moment

# Outside of these, arithmetic with zones overflows; no schedule means them.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Moments are aware, in UTC; `starts_at` is the first possible, `ends_at` the first impossible one."""

    cron: str | None
    run_at: datetime | None
    time_zone: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @classmethod
    def of(cls, schedule: ScheduleRecord) -> "Rule":
        """The rule of a stored schedule."""
        return cls(
            cron=schedule.cron,
            run_at=schedule.run_at,
            time_zone=schedule.time_zone,
            starts_at=schedule.starts_at,
            ends_at=schedule.ends_at,
        )

    def after(self, moment: datetime) -> datetime | None:
        """The first slot after a moment; None when no more come. Raises Refused (cron, time_zone)."""
        if self.cron is None:
            return self.run_at if self.run_at is not None and self.run_at > moment else None
        if self.starts_at is not None:
            moment = max(moment, self.starts_at - TICK)
        found = next_moment(self.cron, self.time_zone, moment)
        return found if found is not None and found < (self.ends_at or LATEST) else None

    def slots(self, *, after: datetime, until: datetime) -> Iterator[datetime]:
        """Every slot after one moment, up to and including another, oldest first."""
        slot = self.after(after)
        while slot is not None and slot <= until:
            yield slot
            slot = self.after(slot)
