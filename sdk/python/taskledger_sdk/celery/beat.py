"""`beat_schedule` as schedules of the ledger: crontab and intervals; what the ledger cannot say is named."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from celery import Celery
from celery.exceptions import QueueNotFound
from celery.schedules import crontab, schedule

from taskledger_sdk.celery.calls import Reader
from taskledger_sdk.celery.errors import NotAdopted
from taskledger_sdk.celery.ledger import Ledger
from taskledger_sdk.celery.payloads import NotJson

MINUTES_OF_HOUR, HOURS_OF_DAY, MINUTE = 60, 24, 60
FIELDS = {"minute": 60, "hour": 24, "day_of_month": 31, "month_of_year": 12, "day_of_week": 7}
"""In the order of cron, with how many values each has."""
TIMES = ("countdown", "eta", "expires")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry of `beat_schedule`; `refusal` says why it is no schedule of the ledger."""

    name: str
    rule: str = ""
    refusal: str | None = None
    difference: str | None = None
    """What the schedule leaves out of the entry."""
    task: str = ""
    """As Celery has it."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """As `PUT /schedules/{name}` takes it."""

    @property
    def word(self) -> Literal["kept", "differs", "refused"]:
        """What becomes of it."""
        return "refused" if self.refusal else "differs" if self.difference else "kept"

    @property
    def text(self) -> str:
        """Why it is refused, or its rule and what that leaves out."""
        return self.refusal or " ".join(filter(None, (self.rule, self.difference)))


def entries(app: Celery) -> Iterator[Entry]:
    """The entries of an application, by name."""
    zone = str(app.conf.timezone or "UTC")
    reader = Reader(Ledger(app, {}))
    for name, said in sorted(dict(app.conf.beat_schedule or {}).items()):
        yield _entry(reader, str(name), said, zone)


def _entry(reader: Reader, name: str, said: Mapping[str, Any], zone: str) -> Entry:
    task = str(said.get("task"))
    if "/" in name:
        return Entry(name=name, refusal=f"{task}: a schedule's name stands in its address: write it without a slash")
    rule = cron_of(said.get("schedule"))
    if rule is None:
        return Entry(name=name, refusal=f"{task}: {_why_no_cron(said.get('schedule'))}")
    options = dict(said.get("options") or {})
    try:
        call = reader.read(task, said.get("args"), said.get("kwargs"), options, None)
        payload = call.payload
    except (NotAdopted, NotJson, QueueNotFound) as error:
        return Entry(name=name, refusal=f"{task}: {error}")
    if call.callbacks:
        return Entry(name=name, refusal=f"{task}: link: let the task call the other one, or schedule a workflow")
    fields = {"priority": call.priority, "timeout": call.timeout, "name": call.name}
    template = {"type": call.type, "payload": payload} | {
        key: value for key, value in fields.items() if value not in (None, "normal")
    }
    left_out = [key for key in TIMES if options.get(key) is not None]
    if call.expires_at is not None and "expires" not in left_out:  # the task's own
        left_out.append("expires")
    difference = f"without {', '.join(left_out)}, which a schedule does not have: see its overlap" if left_out else None
    body = {"cron": rule, "time_zone": zone, "task": template}
    return Entry(name=name, rule=rule, difference=difference, task=task, body=body)


def cron_of(rule: Any) -> str | None:
    """Five fields of cron for a rule of Celery's; None for one that cron cannot say. Pure."""
    if isinstance(rule, crontab):
        fields = {name: _field(getattr(rule, f"_orig_{name}"), getattr(rule, name), FIELDS[name]) for name in FIELDS}
        return None if _has_own_clock(rule) or _takes_either_day(fields) else " ".join(fields.values())
    seconds = _seconds(getattr(rule, "run_every", None) if type(rule) is schedule else rule)
    return None if seconds is None else _interval(seconds)


def _why_no_cron(rule: Any) -> str:
    if isinstance(rule, crontab) and _has_own_clock(rule):
        return "nowfun: say the time zone of the application by its setting `timezone`"
    if isinstance(rule, crontab):
        return (
            "day_of_month and day_of_week: Celery wants both, and cron takes a day that is either: give one of them, "
            "and look at the date in the task"
        )
    return (
        f"a schedule of the kind {type(rule).__name__} that cron cannot say: use crontab(), or an interval that "
        "divides an hour or a day"
    )


def _has_own_clock(rule: Any) -> bool:
    """Mostly to have another time zone than the application."""
    return rule.nowfun is not None


def _takes_either_day(fields: Mapping[str, str]) -> bool:
    """Whether cron would run it on days of the month and on days of the week, where Celery wants a day that is both."""
    return not any(fields[name].startswith("*") for name in ("day_of_month", "day_of_week"))


def _field(said: Any, values: Collection[int], count: int) -> str:
    """A field of cron, from what Celery has read: it knows names in full, and ranges that go past the end."""
    if len(values) == count:
        return "*"
    text = "".join(str(said).split())
    return text if re.fullmatch(r"\*/\d+", text) else ",".join(_ranges(sorted(values)))


def _ranges(numbers: list[int]) -> Iterator[str]:
    """`1-5` for numbers that follow on one another."""
    while numbers:
        length = next((at for at, each in enumerate(numbers) if each != numbers[0] + at), len(numbers))
        part, numbers = numbers[:length], numbers[length:]
        yield from [f"{part[0]}-{part[-1]}"] if length > 2 else map(str, part)


def _seconds(rule: Any) -> float | None:
    if hasattr(rule, "total_seconds"):
        return float(rule.total_seconds())
    return float(rule) if isinstance(rule, int | float) else None


def _interval(seconds: float) -> str | None:
    minutes, rest = divmod(seconds, MINUTE)
    if rest or minutes < 1:
        return None
    if minutes < MINUTES_OF_HOUR and MINUTES_OF_HOUR % minutes == 0:
        return f"*/{int(minutes)} * * * *" if minutes > 1 else "* * * * *"
    hours, rest = divmod(minutes, MINUTES_OF_HOUR)
    if not rest and hours <= HOURS_OF_DAY and HOURS_OF_DAY % hours == 0:
        return f"0 */{int(hours)} * * *" if 1 < hours < HOURS_OF_DAY else "0 * * * *" if hours == 1 else "0 0 * * *"
    return None
