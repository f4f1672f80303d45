"""The ports of an attempt: how its handler reaches files, invoices and other tasks, always as the task's owner."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from uuid import UUID

from app import clock
from app.config import get_settings
from app.database import Session, in_transaction
from app.errors import NotFound
from app.models import Status, TaskRecord
from app.services import artifacts, lifecycle, owners
from app.services.artifacts.content import chunks_of
from app.services.encryption import ciphertexts
from app.services.lifecycle import Claim, LeaseLost
from app.services.tasks import compensation, notes
from app.services.tasks import records as task_service
from app.services.tasks.outcomes import Write
from app.worker.children import WorkerChildren
from app.worker.durable_tasks import WorkerDurableTasks
from app.worker.outages import RECORD_SECONDS, is_passing, retry_while_unavailable, transact
from app.worker.payload_keys import payload_keys
from app.worker.runs import WorkerRuns
from taskledger_sdk.artifacts import Artifact
from taskledger_sdk.errors import PermanentError
from tasks.ports import CompletedTask

if TYPE_CHECKING:
    from app.worker.invoices import WorkerInvoices
    from app.worker.triggers import WorkerTriggers
    from app.worker.webhooks import WorkerWebhooks

T = TypeVar("T")


class Ports:
    """What the ports of one attempt share: the claim, its owner, and the writes they register.

    Those that one or two task types ask for are imported by the first attempt that does: a worker without such tasks
    does without invoices, webhooks and triggers.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.writes: list[Write] = []

    @cached_property
    def owner_id(self) -> UUID | None:
        """Whose task it is; asked for once, and only by those who need it."""
        return transact(lambda session: owners.owner_of(session, self.claim.id))

    @cached_property
    def artifacts(self) -> "WorkerArtifacts":
        """Files."""
        return WorkerArtifacts(self)

    @cached_property
    def invoices(self) -> "WorkerInvoices":
        """Invoices."""
        from app.worker.invoices import WorkerInvoices  # as above

        return WorkerInvoices(self.claim.id, lambda: self.owner_id, self.writes)

    @cached_property
    def ledger(self) -> "WorkerLedger":
        """Other tasks."""
        return WorkerLedger(self)

    @cached_property
    def webhooks(self) -> "WorkerWebhooks":
        """Deliveries."""
        from app.worker.webhooks import WorkerWebhooks  # as above

        return WorkerWebhooks(self.claim)

    @cached_property
    def triggers(self) -> "WorkerTriggers":
        """Triggers."""
        from app.worker.triggers import WorkerTriggers  # as above

        return WorkerTriggers()

    @cached_property
    def runs(self) -> WorkerRuns:
        """Runs of workflows."""
        return WorkerRuns(self.claim, self.fence)

    @cached_property
    def durable_tasks(self) -> WorkerDurableTasks:
        """Durable tasks that are to be undone."""
        return WorkerDurableTasks(self.claim)

    @cached_property
    def children(self) -> WorkerChildren:
        """Tasks that the handler submits."""
        return WorkerChildren(self.claim, self.fence)

    @property
    def all_writes(self) -> tuple[Write, ...]:
        """What shall happen in the outcome's transaction; the children last, when nothing can be refused any more."""
        known = self.__dict__.get("children")
        return (*self.writes, *(() if known is None or known.is_empty else (known.write,)))

    def fence(self, session: Session) -> None:
        """Raises LeaseLost unless the attempt still has the say; until the transaction ends, it keeps it."""
        if not lifecycle.lock_held(session, [self.claim]):
            raise LeaseLost(f"task {self.claim.id}, attempt {self.claim.attempt}")


class WorkerArtifacts:
    """tasks.ports.Artifacts over the ledger and the store."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def info(self, artifact_id: UUID) -> Artifact:
        """What is known of a file."""
        owner_id = self._ports.owner_id
        record = _theirs(lambda session: artifacts.read(session, artifact_id, owner=owner_id))
        return _shown(record)

    @contextmanager
    def open(self, artifact_id: UUID) -> Iterator[BinaryIO]:
        """Its content."""
        self.info(artifact_id)
        with artifacts.store().open(artifact_id) as stream:
            yield stream

    @contextmanager
    def local_path(self, artifact_id: UUID) -> Iterator[Path]:
        """Its content as a file."""
        self.info(artifact_id)
        with artifacts.store().local_path(artifact_id) as path:
            yield path

    def save(self, name: str, media_type: str, content: BinaryIO | bytes) -> Artifact:
        """Keep a file; an attempt that has lost its lease keeps none."""
        new = artifacts.NewArtifact(
            owner_id=self._ports.owner_id, task_id=self._ports.claim.id, name=name, media_type=media_type
        )
        try:
            record = artifacts.save(
                transact,
                artifacts.store(),
                new,
                chunks_of(content),
                settings=get_settings(),
                fence=self._ports.fence,
            )
        except (artifacts.TooLarge, artifacts.StorageFull) as error:
            raise PermanentError(str(error)) from error
        return _shown(record)

    def delete(self, artifact_id: UUID) -> None:
        """Delete a file."""
        owner_id = self._ports.owner_id
        _theirs(lambda session: artifacts.delete(session, artifact_id, owner=owner_id, now=clock.utcnow()))


class WorkerLedger:
    """tasks.ports.Ledger over the tasks table."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def begin_compensation(self, task_id: UUID) -> CompletedTask | UUID:
        """The task to compensate, or which one does already; with the outcome it is noted as compensated."""
        by, owner_id = self._ports.claim.id, self._ports.owner_id

        def begin(session: Session) -> CompletedTask | UUID:
            task = task_service.read(session, task_id, owner=owner_id)
            if task.status != Status.COMPLETED:
                raise PermanentError(f"task {task_id} is {task.status}: only a COMPLETED task can be undone")
            holder = compensation.begin(session, task_id, by=by, now=clock.utcnow())
            if holder != by:
                return holder
            return _opened(task)

        def write(session: Session, now: datetime) -> dict[str, Any]:
            compensation.complete(session, task_id, by=by, now=now)
            return {}

        found = _theirs(begin)
        if isinstance(found, CompletedTask):
            self._ports.writes.append(write)
        return found

    def noted(self, key: str) -> Any:
        """What an earlier attempt noted."""
        return transact(lambda session: notes.read(session, self._ports.claim.id, key))

    def note(self, key: str, value: Any) -> None:
        """Note it now, however long the database is away: it has happened already."""

        def write(session: Session) -> None:
            notes.write(session, self._ports.claim.id, key, value, now=clock.utcnow())

        retry_while_unavailable(lambda: in_transaction(write), seconds=RECORD_SECONDS, when=is_passing)


def _opened(task: TaskRecord) -> CompletedTask:
    """A task of a sensitive type is encrypted in its row."""
    keys = payload_keys()
    payload = ciphertexts.decrypted(task.payload, task.id, "payload", keys=keys)
    result = ciphertexts.decrypted(task.result, task.id, "result", keys=keys)
    return CompletedTask(id=task.id, type=task.type, payload=payload, result=result, schema_hash=task.schema_hash)


def _theirs(work: Callable[[Session], T]) -> T:
    """The work in a transaction; what is not there, or not theirs, will not be there at the next attempt either."""
    try:
        return transact(work)
    except NotFound as error:
        raise PermanentError(str(error)) from error


def _shown(record: artifacts.ArtifactRecord) -> Artifact:
    return Artifact(
        id=record.id, name=record.name, media_type=record.media_type, size=record.size, sha256=record.sha256
    )
