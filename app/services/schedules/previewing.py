"""What an expression means, before a schedule is made of it."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from app.services.schedules import cron as crons
from app.services.schedules import zones
from app.services.schedules.checking import check_moment
from app.services.schedules.rule import LATEST, Rule

PREVIEWED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The next moments, aware and in the zone asked for; and the expression in English."""

    items: list[datetime]
    description: str


def preview(cron: str, *, time_zone: str, after: datetime) -> Preview:
    """The next ten moments. Raises Refused (cron, time_zone, after)."""
    check_moment("after", after)
    description, zone = crons.parse(cron).explain(), zones.find(time_zone)
    rule = Rule(cron=cron, run_at=None, time_zone=time_zone)
    moments = islice(rule.slots(after=after, until=LATEST), PREVIEWED)
    return Preview(items=[moment.astimezone(zone) for moment in moments], description=description)
