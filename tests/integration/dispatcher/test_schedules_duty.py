"""The schedules duty: ten thousand at once, and zone data that changes under it."""

import shutil
import time
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.dispatcher.retention import Retention
from app.dispatcher.schedules import Schedules
from app.services import schedules
from app.services.schedules import firing
from tests.support.factories import NOON, create_schedule, slots_of

ONE = NOON + timedelta(hours=1)
COPY = """
INSERT INTO schedules (id, cron, time_zone, target, misfire, misfire_cap, overlap, jitter_seconds, enabled,
                       accounted_until, next_at, created_at, updated_at)
SELECT gen_random_uuid(), cron, time_zone, target, misfire, misfire_cap, overlap, jitter_seconds, enabled,
       accounted_until, next_at, created_at, updated_at FROM schedules, generate_series(2, :count)
"""


def run_until_idle(duty: Schedules, now: datetime) -> None:
    while duty.run_once(now):
        pass


def test_ten_thousand_schedules_due_in_the_same_second_all_fire_within_ten_seconds(session):
    create_schedule(session)
    session.execute(sa.text(COPY), {"count": 10_000})
    session.commit()
    duty = Schedules()
    run_until_idle(duty, NOON)

    began = time.perf_counter()
    run_until_idle(duty, ONE)
    took = time.perf_counter() - began

    fired = (
        "SELECT count(*) FROM schedule_slots JOIN tasks ON tasks.id = task_id WHERE state = 'fired' AND slot_at = :at"
    )
    assert session.scalar(sa.text(fired), {"at": ONE}) == 10_000
    assert took < 10


def test_a_schedule_that_cannot_be_looked_at_keeps_none_of_the_others_from_firing(session, monkeypatch):
    broken, *others = [create_schedule(session) for _ in range(3)]
    session.commit()

    def look(schedule, now, come=firing.what_has_come):
        if schedule.id == broken.id:
            raise ArithmeticError("no calendar has this")
        return come(schedule, now)

    monkeypatch.setattr(firing, "what_has_come", look)
    duty = Schedules()

    for _ in range(2):
        with pytest.raises(ArithmeticError):
            duty.run_once(ONE)

    assert [[slot.state for slot in slots_of(session, each)] for each in (broken, *others)] == [
        [],
        ["fired"],
        ["fired"],
    ]


@pytest.fixture
def zone_data(tmp_path):
    """A zone of our own, whose data a test may replace; Python's zones are as before afterwards."""

    def install(like: str) -> None:
        source = next(Path(folder) / like for folder in before if (Path(folder) / like).exists())
        (tmp_path / "Test").mkdir(exist_ok=True)
        shutil.copy(source, tmp_path / "Test" / "Zone")

    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[str(tmp_path), *before])
    yield install
    zoneinfo.reset_tzpath(to=before)
    schedules.forget_zone_data()


def test_new_zone_data_moves_the_next_slot_within_a_day(session, zone_data):
    zone_data(like="Etc/GMT-1")
    duty = Schedules()
    schedules.forget_zone_data()
    schedule = create_schedule(session, cron="0 9 * * 1", time_zone="Test/Zone")
    session.commit()
    run_until_idle(duty, NOON)
    before = schedules.read(session, schedule.id, visible_to=None).next_at
    session.commit()

    zone_data(like="Etc/GMT-3")
    run_until_idle(duty, NOON + timedelta(hours=23))
    within_a_day = schedules.read(session, schedule.id, visible_to=None).next_at
    session.commit()
    run_until_idle(duty, NOON + timedelta(hours=24))

    monday = datetime(2026, 3, 9, tzinfo=UTC)
    assert before == within_a_day == monday.replace(hour=8)
    assert schedules.read(session, schedule.id, visible_to=None).next_at == monday.replace(hour=6)


def test_a_dispatcher_that_starts_computes_next_slots_from_the_zone_data_of_the_day(session, zone_data):
    zone_data(like="Etc/GMT-3")
    schedules.forget_zone_data()
    old = datetime(2026, 3, 9, 8, tzinfo=UTC)
    schedule = create_schedule(session, cron="0 9 * * 1", time_zone="Test/Zone", next_at=old)
    session.commit()

    run_until_idle(Schedules(), NOON)

    assert schedules.read(session, schedule.id, visible_to=None).next_at == old.replace(hour=6)


def test_a_stored_moment_that_new_zone_data_has_moved_away_fires_nothing(session, zone_data):
    zone_data(like="Etc/GMT-1")
    schedules.forget_zone_data()
    schedule = create_schedule(session, cron="0 9 * * 1", time_zone="Test/Zone", next_at=ONE)
    session.commit()

    schedules.fire_due(session, now=ONE, limit=10)

    assert slots_of(session, schedule) == []
    assert schedules.read(session, schedule.id, visible_to=None).next_at == datetime(2026, 3, 9, 8, tzinfo=UTC)


def test_slots_are_forgotten_with_the_history(session):
    old, new = create_schedule(session, run_at=ONE), create_schedule(session, run_at=ONE + timedelta(days=80))
    for now in (ONE, ONE + timedelta(days=80)):
        schedules.fire_due(session, now=now, limit=10)
    session.commit()

    Retention().run_once(ONE + timedelta(days=91))

    assert slots_of(session, old) == []
    assert len(slots_of(session, new)) == 1
