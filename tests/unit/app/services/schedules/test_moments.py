"""Slots over changes of the clocks, held against a count of every minute in many zones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.services.schedules import cron as crons
from app.services.schedules.moments import next_moment

MINUTE = timedelta(minutes=1)


def moments(cron: str, zone: str, start: str, hours: int) -> list[str]:
    """All moments within some hours of a local time, as local time with its offset."""
    tz = ZoneInfo(zone)
    after = datetime.fromisoformat(start).replace(tzinfo=tz).astimezone(UTC) - timedelta(seconds=1)
    end = after + timedelta(hours=hours)
    found = []
    while (after := next_moment(cron, zone, after)) is not None and after <= end:
        found.append(after.astimezone(tz).isoformat(timespec="minutes"))
    return found


SPRING = [
    ("Europe/Berlin", "30 2 * * *", "2026-03-29", 23, ["2026-03-29T03:00+02:00"]),
    ("Europe/Berlin", "*/30 2 * * *", "2026-03-29", 23, []),
    ("Europe/Berlin", "0 * * * *", "2026-03-29T01:00", 2, ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"]),
    ("Europe/Berlin", "0 2,3 * * *", "2026-03-29", 23, ["2026-03-29T03:00+02:00"]),
    ("America/New_York", "15 2 * * *", "2026-03-08", 23, ["2026-03-08T03:00-04:00"]),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-04", 23, ["2026-10-04T02:30+11:00"]),
    ("Australia/Lord_Howe", "*/30 2 * * *", "2026-10-04", 23, ["2026-10-04T02:30+11:00"]),
    ("America/Havana", "0 0 * * *", "2026-03-08T01:00", 3, ["2026-03-08T01:00-04:00"]),
    ("Africa/Cairo", "@daily", "2026-04-24T01:00", 3, ["2026-04-24T01:00+03:00"]),
    ("Antarctica/Troll", "30 1 * * *", "2026-03-29", 22, ["2026-03-29T03:00+02:00"]),
    ("Pacific/Chatham", "50 2 * * *", "2026-09-27", 23, ["2026-09-27T03:45+13:45"]),
    ("Pacific/Apia", "0 9 * * *", "2011-12-29", 26, ["2011-12-29T09:00-10:00", "2011-12-31T00:00+14:00"]),
]
AUTUMN = [
    ("Europe/Berlin", "30 2 * * *", "2026-10-25", 23, ["2026-10-25T02:30+02:00"]),
    ("Europe/Berlin", "*/30 2 * * *", "2026-10-25", 23,
     [f"2026-10-25T02:{m}+0{h}:00" for h in (2, 1) for m in ("00", "30")]),
    ("America/New_York", "30 1 * * *", "2026-11-01", 23, ["2026-11-01T01:30-04:00"]),
    ("America/New_York", "30 * * * *", "2026-11-01T01:00", 3,
     ["2026-11-01T01:30-04:00", "2026-11-01T01:30-05:00", "2026-11-01T02:30-05:00"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05", 23, ["2026-04-05T01:45+11:00"]),
    ("Australia/Lord_Howe", "*/30 2 * * *", "2026-04-05", 23, ["2026-04-05T02:00+10:30", "2026-04-05T02:30+10:30"]),
    ("America/Havana", "30 0 * * *", "2026-11-01", 23, ["2026-11-01T00:30-04:00"]),
    ("Pacific/Chatham", "0 3 * * *", "2026-04-05", 23, ["2026-04-05T03:00+13:45"]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "cron", "start", "hours", "expected"), SPRING)
def test_a_local_time_that_the_clocks_leave_out_runs_when_they_go_on(zone, cron, start, hours, expected):
    assert moments(cron, zone, start, hours) == expected


@pytest.mark.parametrize(("zone", "cron", "start", "hours", "expected"), AUTUMN)
def test_a_local_time_that_comes_twice_runs_once_unless_the_schedule_goes_along_with_the_clock(
    zone, cron, start, hours, expected
):
    assert moments(cron, zone, start, hours) == expected


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Asia/Kathmandu", "2026-01-05T09:00", "2026-01-05T03:15"),
        ("Asia/Kolkata", "2026-01-05T09:00", "2026-01-05T03:30"),
        ("Pacific/Chatham", "2026-01-05T09:00", "2026-01-04T19:15"),
        ("Pacific/Kiritimati", "2026-01-05T09:00", "2026-01-04T19:00"),
        ("America/St_Johns", "2026-07-05T09:00", "2026-07-05T11:30"),
        ("Australia/Eucla", "2026-07-05T09:00", "2026-07-05T00:15"),
    ],
)
def test_nine_in_the_morning_is_nine_in_the_morning_where_offsets_are_odd(zone, local, utc):
    day_before = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)) - timedelta(hours=20)

    found = next_moment("0 9 * * *", zone, day_before.astimezone(UTC))

    assert found == datetime.fromisoformat(utc).replace(tzinfo=UTC)


CRONS = ["30 2 * * *", "0 0 * * *", "15 1,2,3 * * 0", "*/15 * * * *", "*/30 2 * * *", "5 */2 * * *", "20 * * * 6,0"]
CHANGES = [
    ("Europe/Berlin", "2026-03-28"),
    ("Europe/Berlin", "2026-10-24"),
    ("Europe/Dublin", "2026-10-24"),
    ("America/New_York", "2026-03-07"),
    ("America/St_Johns", "2006-04-01"),
    ("America/Havana", "2026-03-07"),
    ("America/Havana", "2026-10-31"),
    ("Asia/Beirut", "2026-03-28"),
    ("Africa/Casablanca", "2026-02-14"),
    ("Africa/Casablanca", "2026-03-21"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Pacific/Chatham", "2026-04-04"),
    ("Pacific/Chatham", "2026-09-26"),
    ("Antarctica/Troll", "2026-03-28"),
    ("Antarctica/Troll", "2026-10-24"),
    ("Pacific/Apia", "2011-12-29"),
    ("Asia/Pyongyang", "2015-08-14"),
    ("America/Caracas", "2016-04-30"),
]


@pytest.mark.parametrize("cron", CRONS)
@pytest.mark.parametrize(("zone", "start"), CHANGES)
def test_slots_are_those_that_a_count_of_every_minute_finds(zone, start, cron):
    assert moments(cron, zone, start, 72) == _by_counting(cron, zone, start, 72)


def _by_counting(cron: str, zone: str, start: str, hours: int) -> list[str]:
    """The documented rules, minute by minute: slow and without cleverness."""
    tz, parsed = ZoneInfo(zone), crons.parse(cron)
    begin = datetime.fromisoformat(start).replace(tzinfo=tz).astimezone(UTC)
    minutes = [begin + n * MINUTE for n in range(hours * 60)]
    shown = [minute.astimezone(tz).replace(tzinfo=None, fold=0) for minute in minutes]
    matches, match = [], parsed.after(min(shown) - MINUTE)
    while match is not None and match <= max(shown):
        matches.append(match)
        match = parsed.after(match)
    if parsed.is_fixed:
        wanted = {minutes[next(n for n, local in enumerate(shown) if local >= match)] for match in matches}
    else:
        allowed = set(matches)
        wanted = {at for at, local in zip(minutes, shown, strict=True) if local in allowed}
    return [at.astimezone(tz).isoformat(timespec="minutes") for at in sorted(wanted)]


def test_the_next_moment_is_strictly_later():
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    assert next_moment("* * * * *", "UTC", noon) == noon + MINUTE
    assert next_moment("* * * * *", "UTC", noon - timedelta(microseconds=1)) == noon


def test_a_leap_day_is_found_years_ahead():
    assert next_moment("0 0 29 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 2, 29, tzinfo=UTC)
