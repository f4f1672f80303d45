"""What a slot knows of its moment."""

from datetime import UTC, datetime

import pytest

from app.errors import Refused
from app.services.schedules.slot_values import filled


def slot(name, at="2026-03-01T05:00:00", zone="UTC"):
    return filled({"$slot": name}, datetime.fromisoformat(at).replace(tzinfo=UTC), zone)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("date", "2026-03-01"),
        ("previous_day.date_from", "2026-02-28"),
        ("previous_week.date_from", "2026-02-16"),
        ("previous_week.date_to", "2026-02-22"),
        ("previous_month.date_from", "2026-02-01"),
        ("previous_month.date_to", "2026-02-28"),
        ("previous_quarter.date_from", "2025-10-01"),
        ("previous_quarter.date_to", "2025-12-31"),
        ("previous_year.date_to", "2025-12-31"),
    ],
)
def test_periods_before_a_slot(name, expected):
    assert slot(name) == expected


def test_days_are_those_of_the_schedules_zone():
    assert slot("date", at="2026-01-31T23:30:00", zone="Europe/Berlin") == "2026-02-01"
    assert slot("previous_month.date_to", at="2026-01-31T23:30:00", zone="Europe/Berlin") == "2026-01-31"


def test_what_is_not_known_is_refused():
    with pytest.raises(Refused, match="previous_decade"):
        slot("previous_decade")
