"""What became of all that was accepted: lost, doubled, or as it should be."""

from dataclasses import dataclass

from tests.chaos.evidence import ENDINGS
from tests.chaos.soak.accounts import Accounts
from tests.support.servers.stack import Stack

STATUSES = "SELECT id::text, type, status, error->>'message' AS error, parent_id::text, run_id::text FROM tasks"
# A task ends once, and once more for each time that somebody asked to run it again.
DOUBLED = f"""
SELECT task_id::text, count(*) FILTER (WHERE status IN {ENDINGS}) AS endings,
       count(*) FILTER (WHERE previous_status IN {ENDINGS} AND status = 'PENDING') AS replays
FROM task_events GROUP BY task_id
HAVING count(*) FILTER (WHERE status IN {ENDINGS}) >
       1 + count(*) FILTER (WHERE previous_status IN {ENDINGS} AND status = 'PENDING')
"""
OUTCOMES_OF_ONE_ATTEMPT = f"""
SELECT task_id::text, attempt FROM task_events WHERE status IN {ENDINGS} AND previous_status = 'PROCESSING'
GROUP BY task_id, attempt HAVING count(*) > 1
"""
RUNS = "SELECT id::text, status FROM workflow_runs"
SLOTS = "SELECT schedule_id::text, count(*) AS slots, count(task_id) AS tasks FROM schedule_slots GROUP BY schedule_id"
BACKLOG = """
SELECT (SELECT count(*) FROM tasks WHERE finished_at IS NULL)
     + (SELECT count(*) FROM workflow_runs WHERE status IN ('RUNNING', 'PAUSED', 'COMPENSATING'))
     + (SELECT count(*) FROM schedules WHERE next_at IS NOT NULL)
     + (SELECT count(*) FROM event_outbox) AS n
"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Sentences about what is not right; none is best."""

    tasks: int
    """All that are in the ledger: accepted ones, and those that came of them."""
    lost: list[str]
    doubled: list[str]


def judged(stack: Stack, accounts: Accounts, calls: set[str]) -> Verdict:
    """Compare the ledger with what clients were told, once nothing is left to do."""
    rows = {row["id"]: row for row in stack.rows(STATUSES)}
    lost = []
    for task_id, right in accounts.tasks.items():
        row = rows.get(task_id)
        if row is None:
            lost.append(f"task {task_id} is gone")
        elif row["status"] not in right:
            lost.append(f"{row['type']} {task_id} is {row['status']}, not {sorted(right)}: {row['error']}")
    for row in rows.values():
        # Children, steps, slots and deliveries were accepted from nobody, and have to end as well.
        if row["id"] not in accounts.tasks and row["run_id"] is None and row["status"] != "COMPLETED":
            lost.append(f"{row['type']} {row['id']}, which others submitted, is {row['status']}: {row['error']}")
    runs = {row["id"]: row["status"] for row in stack.rows(RUNS)}
    lost += [
        f"run {id_} is {runs.get(id_)}, not {right}" for id_, right in accounts.runs.items() if runs.get(id_) != right
    ]
    slots = {row["schedule_id"]: row for row in stack.rows(SLOTS)}
    lost += [f"schedule {id_} has not fired" for id_ in accounts.schedules if not slots.get(id_, {}).get("tasks")]
    lost += [f"nobody was called back for {id_}" for id_ in accounts.awaiting_call - calls]
    doubled = [f"task {row['task_id']} ended {row['endings']} times" for row in stack.rows(DOUBLED)]
    doubled += [f"attempt {row['attempt']} of {row['task_id']}" for row in stack.rows(OUTCOMES_OF_ONE_ATTEMPT)]
    doubled += [f"schedule {id_} fired {row['tasks']} times" for id_, row in slots.items() if row["tasks"] > 1]
    doubled += [f"{len(runs) - len(accounts.runs)} more runs than were accepted"] * (len(runs) > len(accounts.runs))
    return Verdict(tasks=len(rows), lost=lost, doubled=doubled)
