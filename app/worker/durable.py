"""What the handler of a durable type is given in a worker: each step is in the ledger before the handler gets it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from app import clock
from app.database import Session, from_json, in_transaction, to_json
from app.services import lifecycle
from app.services.durable import children, steps
from app.services.encryption import ciphertexts
from app.services.lifecycle import Claim
from app.worker import heartbeat
from app.worker.attempt import LeaseGone
from app.worker.context import AttemptContext
from app.worker.durable_children import DurableChildren
from app.worker.in_progress import Running
from app.worker.outages import RECORD_SECONDS, is_passing, retry_while_unavailable
from app.worker.payload_keys import payload_keys
from app.worker.step_values import STEP, decrypted
from taskledger_sdk.durable.running import DurableRun
from taskledger_sdk.durable.surface import DurableMethods
from taskledger_sdk.durable.values import Child, ChildOutcome, Remembered, SignalAnswer, Undo, Until
from taskledger_sdk.errors import PermanentError
from taskledger_sdk.registry import TaskType

T = TypeVar("T")


class DurableContext(DurableMethods, AttemptContext):
    """The running attempt of a durable type as its handler sees it."""

    def __init__(self, task_type: TaskType, running: Running) -> None:
        super().__init__(task_type, running)
        store = WorkerStore(
            running.claim, self._ports.fence, is_sensitive=task_type.sensitive, is_ours=task_type.internal
        )
        self.durable = DurableRun(store, running.claim.id)


def context_of(task_type: TaskType, running: Running) -> AttemptContext:
    """The context of an attempt, as its type needs it."""
    return DurableContext(task_type, running) if task_type.durable else AttemptContext(task_type, running)


class WorkerStore:
    """taskledger_sdk.durable.values.Store over the ledger."""

    def __init__(
        self, claim: Claim, fence: Callable[[Session], None], *, is_sensitive: bool, is_ours: bool = False
    ) -> None:
        self._claim = claim
        self._is_sensitive = is_sensitive
        self._is_ours = is_ours
        self._children = DurableChildren(claim, fence, is_ours=is_ours)

    def steps(self) -> Mapping[str, Remembered]:
        """All but the items of groups."""
        known = _transact(lambda session: steps.read(session, self._claim.id), autocommit=True)
        return {
            step.name: Remembered(
                name=step.name,
                kind=step.kind,
                state=step.state,
                digest=step.digest,
                result=None if step.text is None else decrypted(from_json(step.text), self._claim.id, STEP),
                size=0 if step.text is None else len(step.text),
                child_id=step.child_id,
                has_ended=step.has_ended,
            )
            for step in known
        }

    def begin(self, name: str, seq: int, undo: Undo) -> None:
        """Remember that a step begins that may have to be undone."""
        wanted = self._undo(undo)
        self._children.check_undo(undo)
        _transact(lambda session: steps.begin(session, self._claim, name, seq, wanted), autocommit=True)

    def finish(self, name: str, seq: int, result: Any) -> Any:
        """Remember what came of a step; as the next run will read it."""
        text = self._kept(result)
        stored = _transact(lambda session: steps.finish(session, self._claim, name, seq, text), autocommit=True)
        return decrypted(from_json(stored), self._claim.id, STEP)

    def sleep(self, name: str, seq: int, until: Until) -> datetime | None:
        """Until when is slept; None: the moment has come."""
        return _transact(lambda session: steps.sleep(session, self._claim, name, seq, until))

    def take(self, name: str, seq: int, signal: str, timeout: timedelta | None) -> SignalAnswer:
        """Take a signal."""
        targets = [self._claim.id, *([] if self._claim.run_id is None else [self._claim.run_id])]

        def work(session: Session) -> steps.Waited:
            return steps.take(
                session,
                self._claim,
                name,
                seq,
                signal=signal,
                targets=targets,
                timeout=timeout,
                decrypted=lambda value, target: decrypted(value, target, "signal"),
                kept=self._kept,
            )

        waited = _transact(work)
        if waited.is_timed_out:
            return SignalAnswer(state="timed_out")
        if waited.has_ended:
            return SignalAnswer(state="taken", data=decrypted(waited.data, self._claim.id, STEP))
        return SignalAnswer(state="waiting", until=waited.until)

    def call(self, name: str, seq: int, digest: str, wanted: Child, undo: Undo | None) -> UUID:
        """Submit a child, unless the step has one."""
        if undo is not None:
            self._children.check_undo(undo)
        kept = None if undo is None else self._undo(undo)
        draft = self._children.draft(wanted)

        def work(session: Session) -> UUID:
            child_id = children.submit(
                session, self._claim, name, seq, digest=digest, child=draft, undo=kept, now=clock.utcnow()
            )
            if child_id == draft.id:
                self._children.take_room(session, 1)
            return child_id

        return _transact(work)

    def outcome(self, name: str) -> ChildOutcome | None:
        """How the child of a step has ended."""
        ended = _transact(lambda session: children.outcome(session, self._claim, name, now=clock.utcnow()))
        return None if ended is None else self._outcome(ended)

    def gather(self, name: str, seq: int, digest: str, wanted: Sequence[Child], max_parallel: int | None) -> None:
        """Submit many children, unless the step has them."""
        drafts = [self._children.draft(each) for each in wanted]

        def work(session: Session) -> None:
            if children.submit_group(
                session,
                self._claim,
                name,
                seq,
                digest=digest,
                children=drafts,
                max_parallel=max_parallel,
                now=clock.utcnow(),
            ):
                self._children.take_room(session, len(drafts))

        _transact(work)

    def outcomes(self, name: str) -> list[ChildOutcome] | None:
        """How the children of a group have ended."""
        try:
            # Our own handlers only want to know whether all went well: what items returned stays with them.
            ended = _transact(
                lambda session: children.outcomes(
                    session, self._claim, name, now=clock.utcnow(), with_results=not self._is_ours
                )
            )
        except children.TooLarge as error:
            raise PermanentError(f"task.gather({name!r}): {error}: let the children keep artifacts") from None
        return None if ended is None else [self._outcome(each) for each in ended]

    def _outcome(self, ended: children.Ended) -> ChildOutcome:
        if ended.error is not None:
            return ChildOutcome(
                task_id=ended.child_id,
                type=ended.type,
                error_type=str(ended.error.get("type")),
                message=str(ended.error.get("message") or ""),
            )
        return ChildOutcome(
            task_id=ended.child_id, type=ended.type, result=decrypted(ended.result, ended.child_id, "result")
        )

    def _undo(self, undo: Undo) -> Any:
        said = {"type": undo.type, "payload": undo.payload}
        return self._encrypted(said) if self._is_sensitive else said

    def _kept(self, value: Any) -> str:
        return to_json(self._encrypted(value) if self._is_sensitive else value)

    def _encrypted(self, value: Any) -> Any:
        return ciphertexts.encrypted(value, self._claim.id, STEP, keys=payload_keys())


def _transact(work: Callable[[Session], T], *, autocommit: bool = False) -> T:
    """The work in a transaction, to its end; while the database is away it is tried again. Raises LeaseGone.

    With `autocommit`, the work is one statement.
    """
    try:
        with heartbeat.STOPPER.shielded():
            return retry_while_unavailable(
                lambda: in_transaction(work, autocommit=autocommit), seconds=RECORD_SECONDS, when=is_passing
            )
    except lifecycle.LeaseLost as error:
        raise LeaseGone(str(error)) from error
