"""The ports of an attempt: how its handler reaches files, invoices and other tasks, always as the task's owner."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from uuid import UUID

import structlog

from app import clock
from app.config import get_settings
from app.database import Session, in_transaction
from app.errors import NotFound
from app.models import Status, TaskRecord
from app.observability.scrubbing import scrub
from app.services import artifacts, invoices, lifecycle, owners, webhooks
from app.services.accounts.rights import TypeNotAllowed
from app.services.artifacts.content import chunks_of
from app.services.encryption import ciphertexts
from app.services.lifecycle import Claim, LeaseLost
from app.services.recovery.failures import storable
from app.services.tasks import compensation, notes
from app.services.tasks import records as task_service
from app.services.tasks.outcomes import Write
from app.worker.children import WorkerChildren
from app.worker.durable_tasks import WorkerDurableTasks
from app.worker.outages import CLAIM_SECONDS, RECORD_SECONDS, is_passing, retry_while_unavailable
from app.worker.payload_keys import payload_keys
from app.worker.runs import WorkerRuns
from app.worker.triggers import WorkerTriggers
from taskledger_sdk.artifacts import Artifact
from taskledger_sdk.errors import PermanentError
from tasks.ports import CompletedTask, InvoiceDraft, OutgoingWebhook

log = structlog.get_logger(__name__)

T = TypeVar("T")
GONE = 410


class Ports:
    """What the ports of one attempt share: the claim, its owner, and the writes they register."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.writes: list[Write] = []

    @cached_property
    def owner_id(self) -> UUID | None:
        """Whose task it is; asked for once, and only by those who need it."""
        return _transact(lambda session: owners.owner_of(session, self.claim.id))

    @cached_property
    def artifacts(self) -> "WorkerArtifacts":
        """Files."""
        return WorkerArtifacts(self)

    @cached_property
    def invoices(self) -> "WorkerInvoices":
        """Invoices."""
        return WorkerInvoices(self)

    @cached_property
    def ledger(self) -> "WorkerLedger":
        """Other tasks."""
        return WorkerLedger(self)

    @cached_property
    def webhooks(self) -> "WorkerWebhooks":
        """Deliveries."""
        return WorkerWebhooks(self)

    @cached_property
    def triggers(self) -> WorkerTriggers:
        """Triggers."""
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
                _transact,
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


class WorkerInvoices:
    """tasks.ports.Invoices: everything is written with the outcome."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def issue(self, draft: InvoiceDraft) -> dict[str, Any]:
        """Add the draft up now, and draw its number with the outcome."""
        amounts = invoices.compute(draft)
        owner_id, task_id = self._ports.owner_id, self._ports.claim.id

        def write(session: Session, now: datetime) -> dict[str, Any]:
            return invoices.issue(session, draft, amounts, owner_id=owner_id, task_id=task_id, now=now)

        self._ports.writes.append(write)
        return amounts.as_json()

    def cancel(self, number: str, reason: str) -> None:
        """Cancel an invoice with the outcome."""
        owner_id, task_id = self._ports.owner_id, self._ports.claim.id

        def write(session: Session, now: datetime) -> dict[str, Any]:
            return invoices.cancel(session, number, owner_id=owner_id, reason=reason, task_id=task_id, now=now)

        self._ports.writes.append(write)


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
        return _transact(lambda session: notes.read(session, self._ports.claim.id, key))

    def note(self, key: str, value: Any) -> None:
        """Note it now, however long the database is away: it has happened already."""

        def write(session: Session) -> None:
            notes.write(session, self._ports.claim.id, key, value, now=clock.utcnow())

        retry_while_unavailable(lambda: in_transaction(write), seconds=RECORD_SECONDS, when=is_passing)


class WorkerWebhooks:
    """tasks.ports.Webhooks over the delivery log."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def outgoing(self, delivery_id: UUID) -> OutgoingWebhook:
        """What to send, if this is the task that was made to send it."""
        keys, task_id = payload_keys(), self._ports.claim.id

        def read(session: Session) -> webhooks.Outgoing:
            return webhooks.outgoing(session, delivery_id, task_id=task_id, keys=keys, now=clock.utcnow())

        try:
            found = _transact(read)
        except (webhooks.NotDeliverable, TypeNotAllowed) as error:
            raise PermanentError(str(error)) from error
        return OutgoingWebhook(id=found.id, url=found.url, body=found.body, secrets=found.secrets)

    def note(
        self, delivery_id: UUID, *, status: int | None = None, error: str | None = None, elapsed_ms: int | None = None
    ) -> None:
        """Add an attempt to the log; one that fails for too long disables the webhook."""
        now, hours = clock.utcnow(), get_settings().webhook_disable_hours
        said = {"status": status, "error": error and scrub(storable(error)), "elapsed_ms": elapsed_ms}
        attempt = {"at": clock.rfc_3339(now), "attempt": self._ports.claim.attempt, **said}
        noted = _transact(
            lambda session: webhooks.note_attempt(
                session,
                delivery_id,
                attempt,
                accepted=status is not None and 200 <= status < 300,
                gone=status == GONE,
                disable_after=timedelta(hours=hours) if hours else None,
                now=now,
            )
        )
        if noted.disabled:
            log.warning("webhook_disabled", delivery_id=str(delivery_id))
        if noted.retry_at is not None:
            log.warning("webhook_circuit_opened", receiver=noted.receiver, until=noted.retry_at.isoformat())


def _opened(task: TaskRecord) -> CompletedTask:
    """A task of a sensitive type is encrypted in its row."""
    keys = payload_keys()
    payload = ciphertexts.decrypted(task.payload, task.id, "payload", keys=keys)
    result = ciphertexts.decrypted(task.result, task.id, "result", keys=keys)
    return CompletedTask(id=task.id, type=task.type, payload=payload, result=result, schema_hash=task.schema_hash)


def _transact(work: Callable[[Session], T]) -> T:
    """The work in a transaction; a database that is away for a moment fails no task."""
    return retry_while_unavailable(lambda: in_transaction(work), seconds=CLAIM_SECONDS)


def _theirs(work: Callable[[Session], T]) -> T:
    """The work in a transaction; what is not there, or not theirs, will not be there at the next attempt either."""
    try:
        return _transact(work)
    except NotFound as error:
        raise PermanentError(str(error)) from error


def _shown(record: artifacts.ArtifactRecord) -> Artifact:
    return Artifact(
        id=record.id, name=record.name, media_type=record.media_type, size=record.size, sha256=record.sha256
    )
