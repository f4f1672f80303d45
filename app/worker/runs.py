"""The port by which tasks of steps without a type of their own reach their run, its items and runs of their own."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from app import clock
from app.database import Session, in_transaction
from app.errors import Conflict, NotFound, Refused
from app.models import new_id
from app.services.accounts.quotas import QuotaReached
from app.services.accounts.rights import TypeNotAllowed
from app.services.lifecycle import Claim
from app.services.remote.schemas import SchemaCheck
from app.services.workflows import items, subruns
from app.worker.outages import RECORD_SECONDS, is_passing, retry_while_unavailable
from taskledger_sdk.durable import Child
from taskledger_sdk.errors import NoRoom, PermanentError
from tasks.ports import EndedRun

T = TypeVar("T")
REFUSALS = (Conflict, NotFound, Refused, TypeNotAllowed)


class WorkerRuns:
    """tasks.ports.Runs over the ledger."""

    def __init__(self, claim: Claim, fence: Callable[[Session], None]) -> None:
        self._claim = claim
        self._fence = fence

    def moment_after(self, seconds: float) -> str:
        """The moment so many seconds from now."""
        return clock.rfc_3339(clock.utcnow() + timedelta(seconds=seconds))

    def seconds_until(self, moment: str) -> float:
        """How many seconds it is until a moment."""
        return max(0.0, (datetime.fromisoformat(moment) - clock.utcnow()).total_seconds())

    def faults(self, schema: dict[str, Any], data: Any) -> list[str]:
        """What a JSON Schema finds in data."""
        return [".".join((*each.path, each.message)) for each in SchemaCheck(schema).faults(data)]

    def items(self, run_id: UUID, step: str) -> tuple[list[Child], int | None]:
        """The tasks of a step with `for_each`."""
        found, most = _transact(lambda session: items.items_of(session, run_id, step, task_id=self._claim.id))
        return [Child(each.type, each.payload, each.options) for each in found], most

    def completed_items(self, run_id: UUID, step: str) -> list[int]:
        """The numbers of the completed items of a step that can be taken back."""
        return _transact(lambda session: items.completed(session, run_id, step))

    def undos(self, run_id: UUID, step: str, numbers: Sequence[int], reason: str) -> list[dict[str, Any]]:
        """The tasks that take back these items of a step."""
        found = _transact(lambda session: items.undos_of(session, run_id, step, numbers, reason=reason))
        return [{"type": each.type, "payload": each.payload} for each in found]

    def new_id(self) -> UUID:
        """An id for a run to be."""
        return new_id()

    def start(self, run_id: UUID, workflow: str, input: dict[str, Any]) -> None:  # noqa: A002 (as in the port)
        """Start a run of a workflow, unless it is there."""

        def work(session: Session) -> None:
            self._fence(session)
            subruns.start(session, run_id, workflow, input, task_id=self._claim.id, now=clock.utcnow())

        try:
            _transact(work)
        except QuotaReached as error:
            raise NoRoom(f"the account has no room for the run: {error}") from None
        except REFUSALS as error:
            raise PermanentError(f"workflow {workflow!r} cannot be run: {error}") from None

    def ended(self, run_id: UUID) -> EndedRun | None:
        """How a run has ended."""
        try:
            found = _transact(lambda session: subruns.ended(session, run_id))
        except Refused as error:
            raise PermanentError(f"run {run_id}: {error}") from None
        return None if found is None else EndedRun(status=found.status, reason=found.reason, results=found.results)

    def of_task(self, task_id: UUID) -> UUID | None:
        """The run that a task has started."""
        return _transact(lambda session: subruns.of_task(session, task_id))

    def compensate(self, run_id: UUID, reason: str) -> str:
        """Let a run take back what it did."""

        def work(session: Session) -> str:
            return subruns.compensate(session, run_id, task_id=self._claim.id, reason=reason, now=clock.utcnow())

        try:
            return _transact(work)
        except REFUSALS as error:
            raise PermanentError(f"run {run_id} cannot be undone: {error}") from None


def _transact(work: Callable[[Session], T]) -> T:
    """The work in a transaction, to its end; while the database is away it is tried again."""
    return retry_while_unavailable(lambda: in_transaction(work), seconds=RECORD_SECONDS, when=is_passing)
