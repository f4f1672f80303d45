"""Choosing among held tasks: priority, owners' turns, limits. No database."""

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.admission.fair_share import Candidates, StrideScheduler, refilled, room_of
from app.services.admission.limits import Lane, Limit, Limits, Rate
from tests.support.factories import NOON

ADA, BEN, CLEO = UUID(int=1), UUID(int=2), UUID(int=3)


def lane(owner=ADA, *, type_="fetch", rank=1, key="", ordering_key=""):
    return Lane(rank, owner, type_, "tasks", key, ordering_key)


def waiting(lane_, count, *, first=1):
    """`count` tasks, whose ids tell lane and place: owner's number times a million plus seq."""
    tasks = [(seq, UUID(int=lane_.owner_id.int * 1_000_000 + seq)) for seq in range(first, first + count)]
    return Candidates(lane=lane_, tasks=tasks)


def owners_of(chosen):
    return [UUID(int=each.int // 1_000_000) for each in chosen]


def choose(candidates, *limits, active=(), tokens=None, most=100, turns=None):
    arranged = Limits(limits)
    return (turns or StrideScheduler()).choose(candidates, arranged, room_of(active, arranged, tokens or {}), most=most)


def test_without_limits_all_go_in_the_order_of_submission():
    assert choose([waiting(lane(), 3)]) == [UUID(int=1_000_000 + seq) for seq in (1, 2, 3)]


def test_urgent_tasks_go_first_whoever_owns_them():
    chosen = choose([waiting(lane(ADA, rank=1), 2), waiting(lane(BEN, rank=0), 2)], most=3)

    assert owners_of(chosen) == [BEN, BEN, ADA]


def test_owners_take_turns():
    chosen = choose([waiting(lane(ADA), 50), waiting(lane(BEN), 50)], most=10)

    assert Counter(owners_of(chosen)) == {ADA: 5, BEN: 5}


def test_an_owner_of_weight_three_gets_three_of_four_places_even_one_at_a_time():
    heavy = Limit(kind="owner", name=str(ADA), weight=3)
    turns, served = StrideScheduler(), Counter()
    for _ in range(40):
        served.update(owners_of(choose([waiting(lane(ADA), 5), waiting(lane(BEN), 5)], heavy, most=1, turns=turns)))

    assert served == {ADA: 30, BEN: 10}


def test_who_comes_late_is_served_next_but_does_not_catch_up():
    turns = StrideScheduler()
    choose([waiting(lane(ADA), 50)], most=50, turns=turns)

    chosen = choose([waiting(lane(ADA), 50), waiting(lane(BEN), 50)], most=10, turns=turns)

    assert Counter(owners_of(chosen)) == {ADA: 5, BEN: 5}


def test_a_limit_counts_what_is_active_already():
    five = Limit(kind="type", name="fetch", max_running=5)

    assert len(choose([waiting(lane(), 9)], five, active=[(lane(BEN), 3)])) == 2


def test_what_one_limit_stops_leaves_the_places_of_another_to_others():
    one_each = Limit(kind="key", name="host:*", max_running=1)
    chosen = choose([waiting(lane(key="host:a"), 5), waiting(lane(key="host:b"), 5, first=10)], one_each)

    assert [each.int % 1_000_000 for each in chosen] == [1, 10]


def test_the_most_exact_limit_of_a_key_counts():
    limits = [
        Limit(kind="key", name="host:*", max_running=1),
        Limit(kind="key", name="host:a*", max_running=2),
        Limit(kind="key", name="host:ab", max_running=3),
    ]

    found = [len(choose([waiting(lane(key=key), 9)], *limits)) for key in ("host:x", "host:ax", "host:ab", "other")]

    assert found == [1, 2, 3, 9]


def test_hints_are_counted_for_each_owner_and_type():
    window = Limit(kind="all", name="all", max_hints=2)
    lanes = [waiting(lane(ADA), 5), waiting(lane(ADA, type_="other"), 5, first=100), waiting(lane(BEN), 5)]

    assert len(choose(lanes, window, active=[(lane(ADA), 1)])) == 1 + 2 + 2


def test_a_rate_lets_go_what_its_bucket_holds():
    rate = Limit(kind="type", name="fetch", rate=Rate(count=10, seconds=1))

    assert len(choose([waiting(lane(), 9)], rate, tokens={("type", "fetch"): 2.7})) == 2


def test_a_bucket_fills_up_to_its_capacity_and_never_by_a_clock_that_goes_back():
    rate = Rate(count=10, seconds=2, burst=4)

    def after(seconds):
        return refilled(
            1.0,
            since=NOON,
            now=NOON + timedelta(seconds=seconds),
            per_second=rate.per_second,
            capacity=rate.capacity,
        )

    assert (after(0.2), after(60), after(-5)) == (2.0, 4.0, 1.0)


@pytest.mark.parametrize(("rate", "capacity"), [((10, 1, None), 1), ((1000, 1, None), 100), ((10, 1, 7), 7)])
def test_a_rate_is_even_unless_a_burst_is_allowed(rate, capacity):
    count, seconds, burst = rate

    assert Rate(count=count, seconds=seconds, burst=burst).capacity == capacity


OWNERS, TYPES, KEYS = st.sampled_from([ADA, BEN, CLEO]), st.sampled_from("xy"), st.sampled_from(["", "k:1", "k:2"])
LANES = st.builds(lambda owner, type_, rank, key: lane(owner, type_=type_, rank=rank, key=key),
                  OWNERS, TYPES, st.sampled_from([0, 1, 2]), KEYS)  # fmt: skip
LIMITS = st.lists(
    st.one_of(
        st.builds(lambda n: Limit(kind="type", name="x", max_running=n), st.integers(0, 5)),
        st.builds(lambda n: Limit(kind="owner", name=str(ADA), max_running=n), st.integers(0, 5)),
        st.builds(lambda n: Limit(kind="key", name="k:*", max_running=n), st.integers(0, 3)),
        st.builds(lambda n: Limit(kind="all", name="all", max_hints=n), st.integers(1, 4)),
    ),
    max_size=4,
    unique_by=lambda each: (each.kind, each.name),
)


@given(st.dictionaries(LANES, st.integers(1, 6), max_size=8), st.lists(st.tuples(LANES, st.integers(0, 3))), LIMITS)
def test_no_choice_ever_exceeds_a_limit_and_none_leaves_a_place_empty(held, active, limits):
    arranged = Limits(limits)
    candidates = [waiting(each, count, first=1000 * n) for n, (each, count) in enumerate(held.items())]
    lane_of = {task: each.lane for each in candidates for _, task in each.tasks}
    room = room_of(active, arranged, {})
    before = room_of(active, arranged, {})

    chosen = StrideScheduler().choose(candidates, arranged, room, most=1000)

    assert len(set(chosen)) == len(chosen)
    for task in chosen:
        applied = arranged.of(lane_of[task])
        assert before.obstacle(lane_of[task], applied) is None
        before.take(lane_of[task], applied)
    left = [lane_of[task] for task in lane_of if task not in chosen]
    assert all(before.obstacle(each, arranged.of(each)) is not None for each in left)
