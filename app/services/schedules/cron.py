"""Cron expressions: five fields or an alias, with errors that name the part that is wrong."""

import copy
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property, lru_cache

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from app.errors import Refused

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = (
    (Field.MINUTE, "minute", "0 to 59"),
    (Field.HOUR, "hour", "0 to 23"),
    (Field.DAY, "day-of-month", "1 to 31, L (the last day), LW (the last weekday)"),
    (Field.MONTH, "month", "1 to 12 or JAN to DEC"),
    (Field.DOW, "day-of-week", "0 to 7 or SUN to SAT (0 and 7 are Sunday), MON#2 (the second), 5L (the last Friday)"),
)
SYNTAX = "*, lists (1,15), ranges (1-5), steps (*/10)"
LONGEST = 200
SOME_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 (cron is read in local time; the zone is applied afterwards)


@dataclass(frozen=True)
class Cron:
    """A valid expression; `text` as it was given, `expanded` as five fields."""

    text: str
    expanded: str

    @property
    def is_fixed(self) -> bool:
        """Whether it names times of day (30 2 * * *), rather than going along with the clock (*/15 * * * *)."""
        minute, hour, *_ = self.expanded.split()
        return not minute.startswith("*") and not hour.startswith("*")

    def after(self, local: datetime) -> datetime | None:
        """The first local time after this one that the fields allow, leaving zones aside; None: none in 50 years."""
        walker = copy.copy(self._parsed)  # parsing takes longer than finding; copies share what was parsed
        walker.dt = local.replace(microsecond=0)
        return next(walker, None)

    def explain(self) -> str:
        """In English: "At 09:00 on Monday through Friday"."""
        return str(self._parsed.explain())

    @cached_property
    def _parsed(self) -> CronSim:
        return CronSim(self.expanded, SOME_MONDAY)


@lru_cache(maxsize=4096)
def parse(text: str) -> Cron:
    """Raises Refused that says which field is wrong, and what it takes."""
    expanded = _expand(text.strip()) if len(text) <= LONGEST else None
    if expanded is None:
        raise _refused(f"has {len(text)} characters; {LONGEST} are allowed")
    parts = expanded.split()
    if len(parts) != len(FIELDS):
        names = " ".join(name for _, name, _ in FIELDS)
        seconds = " (there are no seconds here)" if len(parts) == len(FIELDS) + 1 else ""
        raise _refused(f"has {len(parts)} fields instead of 5: {names}{seconds}")
    for part, (field, name, takes) in zip(parts, FIELDS, strict=True):
        _check(part, field, name, takes)
    cron = Cron(text=" ".join(text.split()), expanded=" ".join(parts))
    try:
        first = cron.after(SOME_MONDAY)
    except CronSimError:
        first = None
    if first is None:
        raise _refused(f"day-of-month {parts[2]!r} never comes in month {parts[3]!r} (day-of-week {parts[4]!r})")
    return cron


def _expand(text: str) -> str:
    if not text.startswith("@"):
        return text
    if text.lower() not in ALIASES:
        nearest = get_close_matches(text.lower(), ALIASES, n=1)
        guess = f"did you mean {nearest[0]}? " if nearest else ""
        raise _refused(f"{text!r} is no alias; {guess}known: {', '.join(ALIASES)}")
    return ALIASES[text.lower()]


def _check(part: str, field: Field, name: str, takes: str) -> None:
    for term in part.upper().split(","):
        try:
            field.parse(term)
        except (CronSimError, ValueError):
            place = f"{term!r} in {part!r}" if term != part.upper() else repr(part)
            raise _refused(f"{name}: {place} is not understood; it takes {takes}, and {SYNTAX}") from None


def _refused(message: str) -> Refused:
    return Refused({"cron": [message]}, code="bad_cron")
