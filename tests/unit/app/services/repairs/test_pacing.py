"""When a repair goes on, how fast, and when it stops by itself."""

from dataclasses import fields
from datetime import timedelta

import pytest

from app.models import RepairRecord, RepairStatus
from app.services.repairs import pacing
from app.services.repairs.pacing import MAX_UNENDED
from tests.support.factories import NOON, seconds

S = RepairStatus


def repair(status=S.RUNNING, *, canary=0, per_second=100.0, ratio=0.1, **columns):
    values = {each.name: 0 for each in fields(RepairRecord)}
    spec = {"canary": canary, "per_second": per_second, "stop_above_failure_ratio": ratio}
    values |= {"status": status, "spec": spec, "last_at": NOON, "canary_at": None, "count": 1_000, "remaining": 500}
    return RepairRecord(**values | columns)


def status_after(made):
    move = pacing.next_move(made, now=NOON)
    return None if move is None else move.status


@pytest.mark.parametrize(
    ("canary", "well", "failed", "stops"),
    [
        (0, 17, 2, False),  # too few to say anything
        (0, 17, 3, True),
        (0, 18, 2, False),  # not above the ratio
        (50, 18, 3, True),  # a large canary is judged before it is over
        (5, 4, 0, False),
        (5, 4, 1, True),  # a small one as a whole
        (5, 3, 1, False),
        (20, 1_000, 100, False),
        (20, 1_000, 120, True),
    ],
)
def test_a_repair_stops_above_its_ratio_once_enough_have_ended(canary, well, failed, stops):
    made = repair(canary=canary, well=well, failed=failed, replayed=well + failed, unended=1)

    assert (status_after(made) == S.STOPPED) is stops


def test_without_a_ratio_nothing_stops_it():
    assert status_after(repair(ratio=None, failed=1_000, replayed=1_000)) is None


def test_a_ratio_of_nought_stops_at_the_first_failure_that_counts():
    assert status_after(repair(ratio=0.0, well=19, failed=1)) == S.STOPPED


def test_a_small_repair_is_judged_as_a_whole():
    assert status_after(repair(count=3, failed=3, remaining=0)) == S.STOPPED


@pytest.mark.parametrize(
    ("columns", "then"),
    [
        ({"replayed": 19, "unended": 3}, None),
        ({"replayed": 20, "unended": 3}, None),
        ({"replayed": 20, "unended": 0}, S.RUNNING),
        ({"replayed": 7, "remaining": 0, "unended": 0}, S.COMPLETED),
        ({"replayed": 20, "unended": 3, "canary_at": NOON - timedelta(minutes=10)}, S.PAUSED),
        ({"replayed": 20, "unended": 3, "canary_at": NOON - timedelta(minutes=9)}, None),
    ],
)
def test_a_canary_is_waited_for(columns, then):
    assert status_after(repair(S.CANARY, canary=20, ratio=None, **columns)) == then


@pytest.mark.parametrize("status", [S.PAUSED, S.STOPPED, S.COMPLETED, S.UNDOING, S.UNDONE])
def test_what_does_not_go_on_is_not_moved(status):
    assert pacing.next_move(repair(status, failed=500), now=NOON) is None
    assert pacing.room(repair(status), 50, most=100) == 0


@pytest.mark.parametrize(("passed", "credit"), [(0.0, 0.0), (0.1, 10.0), (0.5, 50.0), (3_600, 50.0), (-5, 0.0)])
def test_credit_is_earned_over_time_and_not_without_end(passed, credit):
    assert pacing.earned(repair(), now=NOON + seconds(passed)) == pytest.approx(credit)


def test_a_slow_rate_earns_a_whole_one_in_time():
    assert pacing.earned(repair(per_second=0.1), now=NOON + seconds(600)) == 1.0


@pytest.mark.parametrize(
    ("columns", "room"),
    [
        ({}, 30),
        ({"remaining": 7}, 7),
        ({"status": S.CANARY, "canary": 20, "replayed": 15}, 5),
        ({"status": S.CANARY, "canary": 20, "replayed": 20}, 0),
        ({"unended": MAX_UNENDED - 3, "ratio": None}, 3),
        ({"unended": MAX_UNENDED + 3, "ratio": None}, 0),
        ({"unended": 45}, 5),  # half a second's worth is under way
        ({"unended": 50}, 0),
        ({"unended": 50, "well": 60}, 10),  # as many as have ended well
        ({"unended": 50, "well": 600}, 30),
        ({"unended": MAX_UNENDED - 3, "well": 2 * MAX_UNENDED}, 3),
        ({"unended": 0, "per_second": 0.5}, 1),
    ],
)
def test_no_more_are_replayed_than_credit_canary_and_queue_have_room_for(columns, room):
    assert pacing.room(repair(**columns), 30.9, most=100) == room


@pytest.mark.parametrize(
    ("canary", "columns", "status"),
    [
        (0, {"replayed": 5, "unended": 5}, S.RUNNING),
        (20, {"replayed": 5, "unended": 0}, S.CANARY),
        (20, {"replayed": 20, "unended": 1}, S.CANARY),
        (20, {"replayed": 20, "unended": 0}, S.RUNNING),
        (20, {"replayed": 90, "unended": 30}, S.RUNNING),
    ],
)
def test_a_paused_repair_is_resumed_where_it_was(canary, columns, status):
    assert pacing.resumed(repair(S.PAUSED, canary=canary, **columns)) == status
