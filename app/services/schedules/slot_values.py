"""What a slot knows of its moment, for the input of a run: {"$slot": "previous_month.date_from"} and their like. Pure.

Days are those of the schedule's time zone.
"""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.errors import Refused

SLOT = "$slot"
DAY = timedelta(days=1)
QUARTER_MONTHS = 3
MAX_LEVELS = 32


def filled(template: Any, slot_at: datetime, time_zone: str) -> Any:
    """The template with every $slot replaced. Raises Refused (workflow.input) for one that is not known."""
    return _filled(template, values(slot_at.astimezone(ZoneInfo(time_zone))), 1)


def _filled(template: Any, known: dict[str, Any], level: int) -> Any:
    if level > MAX_LEVELS:
        raise Refused({"workflow": {"input": [f"is nested too deeply: {MAX_LEVELS} levels are allowed"]}})
    if isinstance(template, list):
        return [_filled(each, known, level + 1) for each in template]
    if not isinstance(template, dict):
        return template
    if template.keys() == {SLOT}:
        name = template[SLOT]
        if not isinstance(name, str) or name not in known:
            said = f"knows no {SLOT} {str(name)[:80]!r}; known: {', '.join(known)}"
            raise Refused({"workflow": {"input": [said]}})
        return known[name]
    return {key: _filled(each, known, level + 1) for key, each in template.items()}


def values(moment: datetime) -> dict[str, Any]:
    """All of them, for a moment in its own zone."""
    today = moment.date()
    month, quarter = today.replace(day=1), today.replace(month=_first_of_quarter(today.month), day=1)
    periods = {
        "previous_day": (today - DAY, today - DAY),
        "previous_week": _week_before(today),
        "previous_month": ((month - DAY).replace(day=1), month - DAY),
        "previous_quarter": (_first_day_of_quarter(quarter - DAY), quarter - DAY),
        "previous_year": (date(today.year - 1, 1, 1), date(today.year - 1, 12, 31)),
    }
    found: dict[str, Any] = {"at": moment.isoformat(), "date": today.isoformat()}
    for name, (first, last) in periods.items():
        found |= {f"{name}.date_from": first.isoformat(), f"{name}.date_to": last.isoformat()}
    return found


def _week_before(today: date) -> tuple[date, date]:
    """Monday to Sunday, as ISO 8601 has it."""
    monday = today - timedelta(days=today.weekday())
    return monday - 7 * DAY, monday - DAY


def _first_of_quarter(month: int) -> int:
    return month - (month - 1) % QUARTER_MONTHS


def _first_day_of_quarter(day: date) -> date:
    return day.replace(month=_first_of_quarter(day.month), day=1)
