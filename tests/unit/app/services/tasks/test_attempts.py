"""Attempts, read off a task's history."""

from app.models import EventRecord, new_id
from app.services.tasks.attempts import from_history
from tests.support.factories import NOON, seconds

TASK = new_id()


def history(*changes: tuple[str, int, dict | None]) -> list[EventRecord]:
    """Events a second apart from (status, attempt, detail)."""
    events: list[EventRecord] = []
    for index, (status, attempt, detail) in enumerate(changes):
        previous = events[-1].status if events else None
        events.append(
            EventRecord(
                id=index + 1,
                at=NOON + seconds(index),
                task_id=TASK,
                type="reverse_string",
                status=status,
                previous_status=previous,
                attempt=attempt,
                worker="w/1" if "PROCESSING" in (status, previous) else None,
                detail=detail,
            )
        )
    return events


def test_a_task_that_waits_has_no_attempts():
    assert from_history(history(("PENDING", 0, None))) == []


def test_an_attempt_that_runs_has_no_end():
    [attempt] = from_history(history(("PENDING", 0, None), ("PROCESSING", 1, None)))

    assert (attempt.number, attempt.worker, attempt.ended_at, attempt.outcome) == (1, "w/1", None, None)


def test_each_attempt_ends_with_the_next_change():
    error = {"type": "ValueError", "message": "no"}
    attempts = from_history(
        history(
            ("PENDING", 0, None),
            ("PROCESSING", 1, None),
            ("RETRYING", 1, {"error": error}),
            ("PENDING", 1, None),
            ("PROCESSING", 2, None),
            ("COMPLETED", 2, None),
        )
    )

    assert [(each.number, each.outcome, each.error) for each in attempts] == [
        (1, "failed", error),
        (2, "completed", None),
    ]
    assert [(each.started_at - NOON).seconds for each in attempts] == [1, 4]
    assert [(each.ended_at - NOON).seconds for each in attempts] == [2, 5]


def test_the_number_of_an_attempt_that_was_given_back_is_used_again():
    attempts = from_history(
        history(
            ("PENDING", 0, None),
            ("PROCESSING", 1, None),
            ("PENDING", 1, {"reason": "given back"}),
            ("PROCESSING", 1, None),
        )
    )

    assert [(each.number, each.outcome) for each in attempts] == [(1, "given_back"), (1, None)]
