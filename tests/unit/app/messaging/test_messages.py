"""Messages: hints and their chunks."""

from app.messaging import Hint, coalesce
from app.messaging.messages import BACKSTOP_SECONDS
from app.models import new_id
from app.services.lifecycle import Waiting
from taskledger_sdk.registry import MAX_HARD_LIMIT_SECONDS, get_type


def waiting(**fields) -> Waiting:
    plain = {
        "type": "reverse_string",
        "queue": "tasks",
        "priority": "normal",
        "timeout_seconds": None,
        "unchunked": False,
    }
    return Waiting(id=new_id(), **(plain | fields))


def test_a_hint_carries_the_hard_limit_of_its_type_as_a_backstop():
    reverse_string = get_type("reverse_string")

    limit = reverse_string.timeout_seconds + reverse_string.grace_seconds + BACKSTOP_SECONDS
    assert Hint.of(waiting()).time_limit == limit


def test_the_tasks_own_timeout_wins_over_its_types():
    grace = get_type("reverse_string").grace_seconds

    assert Hint.of(waiting(timeout_seconds=7)).time_limit == 7 + grace + BACKSTOP_SECONDS


def test_a_task_of_an_unknown_type_is_published_all_the_same():
    hint = Hint.of(waiting(type="from_a_newer_release"))

    assert (hint.time_limit, hint.chunk) == (MAX_HARD_LIMIT_SECONDS, 1)


def test_hints_of_a_type_that_allows_chunks_are_joined_in_their_order():
    tasks = [waiting() for _ in range(5)]

    [chunk] = coalesce(Hint.of(task) for task in tasks)

    assert chunk.ids == tuple(task.id for task in tasks)


def test_a_chunk_is_never_larger_than_its_type_says():
    size = get_type("reverse_string").chunk

    chunks = coalesce(Hint.of(waiting()) for _ in range(2 * size + 1))

    assert [len(chunk.ids) for chunk in chunks] == [size, size, 1]


def test_types_queues_and_priorities_are_not_mixed_in_a_chunk():
    kinds = [{}, {"type": "uppercase_text"}, {"queue": "slow"}, {"priority": "low"}]

    assert len(coalesce(Hint.of(waiting(**kind)) for kind in kinds)) == len(kinds)


def test_urgent_solo_and_specially_limited_tasks_travel_alone():
    kinds = [{"priority": "high"}, {"unchunked": True}, {"timeout_seconds": 5}]

    for kind in kinds:
        assert len(coalesce([Hint.of(waiting(**kind)), Hint.of(waiting(**kind))])) == 2, kind
