"""What the database itself refuses: the table of transitions as a condition in a trigger.

The trigger `refuse_unknown_change` is the last to see an UPDATE of `tasks`, after `keep_task_whole` has completed the
row. Its condition is made here, from the one table of transitions; the migration holds a copy of it, and a test holds
the two together.
"""

from collections.abc import Iterable

from app.models import Status
from app.services.lifecycle.transitions import TRANSITIONS, Transition

S = Status

# What a row in each status must be like. Beside this, CHECK constraints hold due_at, finished_at and lease.
_FAILED_ONCE = "NEW.attempt > NEW.attempt_base AND coalesce(jsonb_typeof(NEW.error) = 'object', false)"
KNOWN = {
    S.SCHEDULED: "NEW.result IS NULL AND NEW.cancel_requested_at IS NULL AND NEW.dispatched_at IS NULL",
    S.PENDING: "NEW.result IS NULL AND NEW.cancel_requested_at IS NULL",
    S.PROCESSING: "NEW.result IS NULL AND NEW.leased_by IS NOT NULL AND NEW.attempt > NEW.attempt_base",
    S.RETRYING: "NEW.result IS NULL AND NEW.cancel_requested_at IS NULL AND NEW.dispatched_at IS NULL "
    f"AND {_FAILED_ONCE}",
    S.WAITING: "NEW.result IS NULL AND NEW.dispatched_at IS NULL AND NEW.waits_for IS NOT NULL "
    "AND NEW.attempt = NEW.attempt_base",
    S.COMPLETED: "NEW.error IS NULL AND NEW.attempt > NEW.attempt_base",
    S.FAILED: f"NEW.result IS NULL AND NEW.cancel_requested_at IS NULL AND {_FAILED_ONCE}",
    S.CANCELLED: "NEW.result IS NULL AND NEW.cancel_receipt IS NOT NULL",
}

# What an arrow does beside moving the status; arrows that are not named here need nothing.
NEEDS = {
    "claimed": "NEW.attempt = OLD.attempt + 1 AND NEW.started_at IS NOT NULL",
    "retried": "NEW.attempt = OLD.attempt",
    "returned": "NEW.attempt = OLD.attempt",
    "failed": "NEW.attempt = OLD.attempt",
    "given back": "NEW.attempt = OLD.attempt - 1 AND NEW.dispatched_at IS NULL",
    # The attempt ended well: the next one has a number of its own, and a fresh budget.
    "suspended": "NEW.attempt_base = NEW.attempt AND NEW.attempt = OLD.attempt AND NEW.expires_at IS NULL",
    "woken": "NEW.dispatched_at IS NULL",
    "stopped": "NEW.cancel_requested_at IS NOT NULL",
    "replayed": "NEW.attempt_base = NEW.attempt",
    # Never claimed since: a claim that was given back would have left a later start.
    "unreplayed": "NEW.attempt_base < OLD.attempt_base AND NEW.attempt = OLD.attempt AND "
    "OLD.attempt = OLD.attempt_base AND coalesce(OLD.started_at <= NEW.finished_at, false)",
}


def unknown_change() -> str:
    """Whether an UPDATE is one that the lifecycle does not know: SQL over OLD and NEW, never null."""
    known = " ".join(f"WHEN '{status.value}' THEN {KNOWN[status]}" for status in Status)
    return (
        f"(OLD.status <> NEW.status AND NOT CASE OLD.status || '>' || NEW.status {' '.join(_arrows())} "
        f"ELSE false END) OR (NOT CASE NEW.status {known} ELSE false END)"
    )


def _arrows() -> Iterable[str]:
    """A branch for every pair of statuses: several arrows may join one, and one that needs nothing decides."""
    pairs: dict[tuple[Status, Status], list[str]] = {}
    for name, arrow in TRANSITIONS.items():
        for source, target in _pairs(arrow):
            pairs.setdefault((source, target), []).append(NEEDS.get(name, "true"))
    for (source, target), needs in sorted(pairs.items()):
        condition = "true" if "true" in needs else " OR ".join(needs)
        yield f"WHEN '{source.value}>{target.value}' THEN {condition}"


def _pairs(arrow: Transition) -> Iterable[tuple[Status, Status]]:
    return ((source, arrow.target) for source in arrow.sources if source != arrow.target)
