"""Sending signals for a caller, and showing them: what the API and the dashboard share."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

from app.clock import utcnow
from app.database import Session
from app.models import TaskRecord
from app.services import signals
from app.services.accounts import audit
from app.services.accounts.allowance import Allowance
from app.services.encryption import ciphertexts
from app.services.signals import NewSignal, Sender, Signal
from app.services.tasks.remembered import RememberedStep
from app.web.access import current_actor, current_owner_id, current_rights, visible_owner
from app.web.responses.masking import is_sensitive, payload_keys, readable
from app.web.transactions import in_transaction

Send: TypeAlias = Callable[..., tuple[Signal, bool]]


def to_task(task_id: UUID, new: NewSignal) -> tuple[Signal, bool]:
    """Send a signal to a task of the caller; the signal, and whether it is new. Raises as the service does."""
    return _sent(signals.send_to_task, "task", task_id, new)


def to_run(run_id: UUID, new: NewSignal) -> tuple[Signal, bool]:
    """The same for a run."""
    return _sent(signals.send_to_run, "run", run_id, new)


def _sent(send: Send, kind: str, target: UUID, new: NewSignal) -> tuple[Signal, bool]:
    sender = Sender(
        account=current_owner_id(),
        reaches=visible_owner(),
        allowance=Allowance(rights=current_rights()),
        payload_keys=payload_keys(),
    )

    def work(session: Session) -> tuple[Signal, bool]:
        now = utcnow()
        signal, is_new = send(session, target, new, sender=sender, now=now)
        actor = current_actor()
        # The row of the signal says who and when, of programs as well. What a person has approved is in the log, too,
        # whose entries wait for each other: hundreds a second must not.
        if is_new and actor.key_id is None:
            audit.record(session, "signal.sent", actor, now=now, subject=f"{kind}:{target}", signal=new.name)
        return signal, is_new

    return in_transaction(work)


def shown(task: TaskRecord, found: list[Signal]) -> list[Signal]:
    """Signals of a task as the caller may see them: of a sensitive type its owner everything, others that they are."""
    if not is_sensitive(task):
        return found
    if task.owner_id is None or task.owner_id != current_owner_id():
        return [replace(each, data=ciphertexts.MASKED) for each in found]
    return [replace(each, data=readable(each.data, task.id, signals.COLUMN)) for each in found]


def steps_shown(task: TaskRecord, found: list[RememberedStep]) -> list[RememberedStep]:
    """Steps of a task as the caller may see them: of a sensitive type nobody sees what came of them."""
    if not is_sensitive(task):
        return found
    return [replace(each, result=each.result and ciphertexts.MASKED) for each in found]
