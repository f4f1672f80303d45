"""What becomes of slots: misfire and overlap policies, jitter."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.models import ScheduleRecord
from app.services.schedules.policy import LATE, FireContext, decide, start_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ID = UUID("018f3c5e-7d2a-7000-8000-0123456789ab")
MINUTE = timedelta(minutes=1)
HOUR_OF_SLOTS = [NOON - n * MINUTE for n in range(60, 0, -1)]


def schedule(**columns: Any) -> ScheduleRecord:
    values = dict.fromkeys(ScheduleRecord.__slots__)
    values |= {"id": ID, "misfire": "run_once", "misfire_cap": 10, "overlap": "allow", "jitter_seconds": 0}
    return ScheduleRecord(**(values | columns))


def states(slots, *, now=NOON, more=False, busy=False, forbidden=None, **columns: Any) -> list[str]:
    given = FireContext(slots=slots, more=more, busy=busy, forbidden=forbidden)
    return [str(each.state) for each in decide(schedule(**columns), given, now=now).decisions]


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("skip", ["missed"] * 60),
        ("run_once", ["missed"] * 59 + ["fired"]),
        ("run_all", ["missed"] * 50 + ["fired"] * 10),
    ],
)
def test_after_an_hour_without_dispatcher_the_misfire_policy_decides(misfire, expected):
    assert states(HOUR_OF_SLOTS, misfire=misfire) == expected


@pytest.mark.parametrize("misfire", ["skip", "run_once"])
def test_a_slot_that_is_noticed_in_time_runs_alone_and_stands_for_the_late_ones(misfire):
    assert states([*HOUR_OF_SLOTS, NOON], misfire=misfire) == ["missed"] * 60 + ["fired"]


def test_run_all_runs_its_newest_late_slots_and_the_one_that_is_in_time():
    assert states([*HOUR_OF_SLOTS, NOON], misfire="run_all", misfire_cap=2) == ["missed"] * 58 + ["fired"] * 3


@pytest.mark.parametrize(("age", "expected"), [(LATE, "fired"), (LATE + timedelta(microseconds=1), "missed")])
def test_a_slot_is_late_after_thirty_seconds(age, expected):
    assert states([NOON - age], misfire="skip") == [expected]


@pytest.mark.parametrize("misfire", ["skip", "run_once", "run_all"])
def test_slots_that_more_than_a_hundred_newer_ones_follow_are_missed(misfire):
    assert set(states(HOUR_OF_SLOTS, misfire=misfire, misfire_cap=100, more=True)) == {"missed"}


@pytest.mark.parametrize(
    ("overlap", "busy", "expected", "waits"),
    [
        ("allow", True, ["fired"] * 3, None),
        ("skip", True, ["skipped"] * 3, None),
        ("skip", False, ["fired", "skipped", "skipped"], None),
        ("queue_one", True, ["skipped", "skipped"], 0),
        ("queue_one", False, ["fired", "skipped"], 1),
    ],
)
def test_the_overlap_policy_decides_while_the_last_task_is_unfinished(overlap, busy, expected, waits):
    slots = [NOON - 2 * MINUTE, NOON - MINUTE, NOON]
    given = FireContext(slots=slots, busy=busy)

    verdict = decide(schedule(overlap=overlap, misfire="run_all"), given, now=NOON)

    assert [str(each.state) for each in verdict.decisions] == expected
    assert verdict.queued == (None if waits is None else slots[waits])


def test_a_slot_that_waited_fires_once_the_last_task_has_finished_and_the_next_takes_its_place():
    waiting = schedule(overlap="queue_one", queued_slot_at=NOON - MINUTE)

    verdict = decide(waiting, FireContext(slots=[NOON], busy=False), now=NOON)

    assert [(each.slot_at, str(each.state)) for each in verdict.decisions] == [(NOON - MINUTE, "fired")]
    assert verdict.queued == NOON


def test_a_slot_goes_on_waiting_while_the_last_task_is_unfinished():
    waiting = schedule(overlap="queue_one", queued_slot_at=NOON - MINUTE)

    verdict = decide(waiting, FireContext(slots=[], busy=True), now=NOON)

    assert verdict.decisions == ()
    assert verdict.queued == NOON - MINUTE


def test_what_is_forbidden_is_skipped_with_the_reason():
    given = FireContext(slots=[NOON], forbidden="the owner's account is disabled")

    [decision] = decide(schedule(overlap="queue_one", queued_slot_at=None), given, now=NOON).decisions

    assert (str(decision.state), decision.reason) == ("skipped", "the owner's account is disabled")


def test_every_slot_gets_a_decision_or_waits():
    for overlap in ("allow", "skip", "queue_one"):
        for misfire in ("skip", "run_once", "run_all"):
            for busy in (True, False):
                given = FireContext(slots=HOUR_OF_SLOTS, busy=busy)
                verdict = decide(schedule(overlap=overlap, misfire=misfire), given, now=NOON)
                told = {each.slot_at for each in verdict.decisions} | ({verdict.queued} - {None})
                assert told == set(HOUR_OF_SLOTS)


def test_jitter_spreads_starts_over_its_whole_span_and_every_dispatcher_computes_the_same():
    starts = [(start_of(ID, slot, 60) - slot).total_seconds() for slot in HOUR_OF_SLOTS]

    assert all(0 <= start < 60 for start in starts)
    assert min(starts) < 10
    assert max(starts) > 50
    assert starts == [(start_of(ID, slot, 60) - slot).total_seconds() for slot in HOUR_OF_SLOTS]


def test_without_jitter_a_task_starts_at_its_slot():
    assert start_of(ID, NOON, 0) == NOON
