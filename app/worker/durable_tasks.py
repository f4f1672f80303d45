"""The port by which the task `undo` reaches the steps of the task that it undoes."""

from uuid import UUID

from app.database import Session, in_transaction
from app.services.durable import undoing
from app.services.lifecycle import Claim
from app.worker.outages import CLAIM_SECONDS, RECORD_SECONDS, is_passing, retry_while_unavailable
from app.worker.step_values import STEP, decrypted
from taskledger_sdk.errors import PermanentError
from tasks.ports import StepToUndo


class WorkerDurableTasks:
    """tasks.ports.DurableTasks over the ledger."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def to_undo(self, task_id: UUID) -> list[StepToUndo]:
        """What is left to undo."""

        def read(session: Session) -> list[undoing.StepLeft]:
            status = undoing.status_of(session, task_id, undone_by=self._claim.id)
            if status not in ("FAILED", "CANCELLED"):
                raise PermanentError(f"task {task_id} is {status or 'gone'}: it is not to be undone by this one")
            return undoing.left(session, task_id)

        steps = retry_while_unavailable(lambda: in_transaction(read), seconds=CLAIM_SECONDS)
        return [_opened(task_id, step) for step in steps]

    def note_undone(self, task_id: UUID, step: str) -> None:
        """Note it now, however long the database is away: it has happened already."""

        def write(session: Session) -> None:
            undoing.note_undone(session, task_id, step)

        retry_while_unavailable(lambda: in_transaction(write), seconds=RECORD_SECONDS, when=is_passing)


def _opened(task_id: UUID, step: undoing.StepLeft) -> StepToUndo:
    undo = decrypted(step.undo, task_id, STEP)
    if step.child_id is None:
        result = decrypted(step.result, task_id, STEP)
    else:
        result = decrypted(step.result, step.child_id, "result")
    return StepToUndo(name=step.name, type=undo["type"], payload=undo["payload"], result=result)
