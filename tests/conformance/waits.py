"""Whether a task waited although a worker had a child free: read off the history of all tasks."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from tests.support.servers.stack import Stack

Span = tuple[datetime, datetime]

ATTEMPTS = """
SELECT begun.task_id::text AS id, begun.worker, begun.at AS began,
    (SELECT min(ended.at) FROM task_events AS ended
     WHERE ended.task_id = begun.task_id AND ended.id > begun.id AND ended.previous_status = 'PROCESSING') AS ended
FROM task_events AS begun
WHERE begun.status = 'PROCESSING'
ORDER BY begun.at
"""
WAITED = "SELECT id::text, created_at, started_at FROM tasks WHERE id = ANY(%(ids)s::uuid[])"


def longest_beside_a_free_child(stack: Stack, ids: Collection[str], *, children: int) -> float:
    """The longest time, in seconds, that one of these tasks waited while some worker had a child free all along."""
    running: defaultdict[str, list[Span]] = defaultdict(list)
    for row in stack.rows(ATTEMPTS):
        running[row["worker"]].append((row["began"], row["ended"]))
    free = {worker: list(_free(spans, children)) for worker, spans in running.items()}
    waited = [(row["created_at"], row["started_at"]) for row in stack.rows(WAITED, {"ids": list(ids)})]
    return max(_longest_overlap(wait, free) for wait in waited)


def _free(spans: Sequence[Span], children: int) -> Iterator[Span]:
    """When fewer than all children ran a task, from the first to the last moment that is known of the worker."""
    changes = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    busy, since = 0, changes[0][0]
    for at, change in changes:
        if busy < children and at > since and busy + change >= children:
            yield since, at
        busy += change
        if busy == children - 1 and change == -1:
            since = at
    if busy < children:
        yield since, changes[-1][0]


def _longest_overlap(wait: Span, free: Mapping[str, Sequence[Span]]) -> float:
    overlaps = [
        (min(wait[1], until) - max(wait[0], since)).total_seconds() for spans in free.values() for since, until in spans
    ]
    return max([0.0, *overlaps])
