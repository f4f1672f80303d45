"""The table of transitions of runs: every arrow once in code, and once in docs/reference/workflows.md."""

from dataclasses import dataclass

from app.models import RunStatus

R = RunStatus


@dataclass(frozen=True)
class Transition:
    """One arrow: from any of `sources` to `target`."""

    sources: tuple[RunStatus, ...]
    target: RunStatus
    when: str

    @property
    def guard(self) -> str:
        """SQL condition that holds only for runs this arrow may start from."""
        return f"workflow_runs.status IN ({', '.join(repr(source.value) for source in self.sources)})"


PAUSED = Transition((R.RUNNING,), R.PAUSED, "somebody paused it")
RESUMED = Transition((R.PAUSED,), R.RUNNING, "somebody resumed it")
COMPLETED = Transition((R.RUNNING,), R.COMPLETED, "every step is completed or was skipped")
FAILED = Transition((R.RUNNING,), R.FAILED, "a step failed, and its definition says to stop there")
COMPENSATION_BEGUN = Transition((R.RUNNING,), R.COMPENSATING, "a step failed, and no other is under way any more")
CANCELLED = Transition((R.RUNNING, R.PAUSED), R.CANCELLED, "cancelled, and no step is under way any more")
COMPENSATION_REQUESTED = Transition(
    (R.COMPLETED, R.FAILED, R.CANCELLED, R.COMPENSATION_FAILED), R.COMPENSATING, "somebody asked to undo it"
)
COMPENSATED = Transition((R.COMPENSATING,), R.COMPENSATED, "all that it had done is undone")
COMPENSATION_FAILED = Transition((R.COMPENSATING,), R.COMPENSATION_FAILED, "a compensation failed: it needs a person")
RETRIED = Transition((R.FAILED, R.CANCELLED), R.RUNNING, "somebody retries it from the step where it ended")

TRANSITIONS = {
    "paused": PAUSED,
    "resumed": RESUMED,
    "completed": COMPLETED,
    "failed": FAILED,
    "compensated after a failure": COMPENSATION_BEGUN,
    "cancelled": CANCELLED,
    "compensated on request": COMPENSATION_REQUESTED,
    "compensated": COMPENSATED,
    "compensation failed": COMPENSATION_FAILED,
    "retried": RETRIED,
}
