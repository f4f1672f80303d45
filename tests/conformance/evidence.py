"""What the history says of some tasks; others of the same installation may have been replayed and ended twice."""

from collections.abc import Collection

from tests.support.servers.stack import Stack


def assert_each_ended_once(stack: Stack, ids: Collection[str]) -> None:
    """Every one of these tasks has one outcome."""
    ended = stack.rows(
        "SELECT count(DISTINCT task_id) AS tasks, count(*) AS endings FROM task_events "
        "WHERE status IN ('COMPLETED', 'FAILED', 'CANCELLED') AND task_id = ANY(%(ids)s::uuid[])",
        {"ids": list(ids)},
    )
    assert ended == [{"tasks": len(ids), "endings": len(ids)}]
