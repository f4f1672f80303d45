"""A simulated day of 500 schedules under three dispatchers that are killed at random and are away for hours."""

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.services.schedules.rule import Rule
from tests.support.factories import create_schedule
from tests.support.servers.simulated_dispatchers import SimulatedDispatchers

pytestmark = pytest.mark.long

BEGIN = datetime(2026, 3, 28, 18, tzinfo=UTC)  # a day on which Europe's clocks go forward
END = BEGIN + timedelta(days=1)
STEP = timedelta(minutes=15)
CRONS = ("*/15 * * * *", "*/30 * * * *", "15,45 */2 * * *", "0 * * * *", "30 * * * *", "0 9,17 * * *", "30 2 * * *",
         "@daily", "@hourly", "15 1-5 * * 0")  # fmt: skip
ZONES = ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham")
DISPATCHERS = 3
OUTAGES = {13: 4, 45: 4, 70: 2}  # at which step everybody is killed, and for how many steps nobody runs
DUE = sa.text("SELECT count(*) FROM schedules WHERE next_at <= :now")
# Stands in for workers: some of what was fired finishes, so that overlap policies have something to decide.
FINISH = sa.text(
    "UPDATE tasks SET status = 'CANCELLED', cancel_receipt = 'never_started' "
    "WHERE finished_at IS NULL AND random() < 0.4"
)


@pytest.fixture
def schedules(session):
    chance = random.Random(6)
    made = [
        create_schedule(
            session,
            now=BEGIN,
            cron=CRONS[0] if n < 30 else chance.choice(CRONS[1:]),
            time_zone=chance.choice(ZONES),
            misfire=chance.choice(("skip", "run_once", "run_all")),
            misfire_cap=3,
            overlap=chance.choice(("allow", "skip", "queue_one")),
        )
        for n in range(500)
    ]
    session.commit()
    return made


def settle(session, now: datetime) -> None:
    """Return when no schedule is due any more."""

    deadline = time.monotonic() + 20
    while session.scalar(DUE, {"now": now}):
        session.rollback()
        assert time.monotonic() < deadline, f"schedules are still due at {now}"
        time.sleep(0.003)
    session.rollback()


def live_through_the_day(session) -> tuple[int, list[tuple[datetime, datetime]]]:
    """Returns how many dispatchers were killed, and when nobody was there."""
    chance, away = random.Random(7), []
    now, step = BEGIN, 0
    with SimulatedDispatchers(count=DISPATCHERS, now=BEGIN) as dispatchers:
        while now < END:
            step += 1
            if step in OUTAGES:
                for index in range(DISPATCHERS):
                    dispatchers.kill(index)
                away.append((now, now + OUTAGES[step] * STEP))
                now += OUTAGES[step] * STEP + timedelta(seconds=45)
                dispatchers.set_time(now)
                for index in range(DISPATCHERS):
                    dispatchers.restart(index)
                settle(session, now)
                now = away[-1][1]
            now += STEP
            dispatchers.set_time(now)
            if chance.random() < 0.7:
                victim = chance.randrange(DISPATCHERS)
                time.sleep(chance.random() * 0.02)  # somewhere in the middle of what it does
                dispatchers.kill(victim)
                dispatchers.restart(victim)
            settle(session, now)
            session.execute(FINISH)
            session.commit()
        return dispatchers.killed, away


def test_each_slot_is_fired_exactly_once_or_has_a_reason(session, schedules):
    killed, away = live_through_the_day(session)

    slots = {
        (row.schedule_id, row.slot_at): row for row in session.execute(sa.text("SELECT * FROM schedule_slots")).all()
    }
    queued = session.execute(sa.text("SELECT id, queued_slot_at FROM schedules WHERE queued_slot_at IS NOT NULL"))
    waiting = {(row.id, row.queued_slot_at) for row in queued}
    expected = {(each.id, slot) for each in schedules for slot in Rule.of(each).slots(after=BEGIN, until=END)}
    tasks = set(session.scalars(sa.text("SELECT id FROM tasks")))
    fired = [row.task_id for row in slots.values() if row.state == "fired"]
    assert slots.keys() | waiting == expected
    assert not slots.keys() & waiting
    assert len(fired) == len(set(fired)) == len(tasks)
    assert set(fired) == tasks
    assert all(row.reason for row in slots.values() if row.state != "fired")
    missed = [slot_at for (_, slot_at), row in slots.items() if row.state == "missed"]
    assert all(any(begin < slot_at <= end for begin, end in away) for slot_at in missed)
    assert killed > 50
    print(f"{killed} killed; {Counter(row.state for row in slots.values())}, {len(waiting)} waiting")
    assert {row.state for row in slots.values()} == {"fired", "skipped", "missed"}
