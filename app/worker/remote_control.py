"""Celery's remote control: `revoke` and `terminate` cancel tasks in the ledger, and by its rules.

Celery would keep the ids in the memory of each worker, and drop their hints for three hours: such a task would stay
PENDING, and be dispatched again and again.
"""

from typing import Any
from uuid import UUID

import structlog
from celery.utils.functional import maybe_list
from celery.worker.control import control_command, nok, ok  # type: ignore[attr-defined]  # the stubs leave out two

from app import clock
from app.config import get_settings
from app.database import in_transaction
from app.errors import Conflict, NotFound
from app.services.tasks import cancellation
from app.worker.outages import retry_while_unavailable
from app.worker.parent_thread import ParentThread

log = structlog.get_logger(__name__)

MAX_IDS = 1_000  # of one command
CANCEL_SECONDS = 50.0  # how long a command waits for a database that is away
BY = "Celery's remote control"
INSTEAD = "use POST /api/v1/tasks/ID/cancel or `tledger tasks cancel ID`"


def cancel_one(task_id: UUID) -> None:
    """Cancel a task, or ask it to stop; one that has ended, or that is not there, is left alone."""
    try:
        retry_while_unavailable(
            lambda: in_transaction(lambda session: _cancel(session, task_id)), seconds=CANCEL_SECONDS
        )
    except (NotFound, Conflict) as error:
        log.info("revoke_without_effect", task_id=str(task_id), why=str(error))


def _cancel(session: Any, task_id: UUID) -> None:
    cancellation.cancel(session, task_id, owner=None, by=BY, now=clock.utcnow())


CANCELLATIONS = ParentThread("cancellations", cancel_one)


def cancelled(task_ids: Any) -> dict[str, str]:
    """The answer to a command that names tasks; they are cancelled by the parent's own thread."""
    if get_settings().sign_hints:
        # The broker is not trusted here: who may write to it may not end other people's work.
        return _failed(f"nothing was cancelled: SIGN_HINTS is set, so that the broker gives no orders; {INSTEAD}")
    named = [str(each) for each in maybe_list(task_ids) or []]
    if len(named) > MAX_IDS:
        return _failed(f"nothing was cancelled: {len(named)} ids were given, at most {MAX_IDS} are taken at once")
    known = [each for each in map(_id_of, named) if each is not None]
    for task_id in known:
        CANCELLATIONS.put(task_id)
    if len(known) < len(named):
        return _failed(f"{len(known)} tasks are being cancelled; {len(named) - len(known)} of the ids are no task ids")
    answer: dict[str, str] = ok(f"{len(known)} tasks are being cancelled; their rows tell what came of it")
    return answer


def _failed(why: str) -> dict[str, str]:
    answer: dict[str, str] = nok(why)
    return answer


def _id_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(_state: Any, task_id: Any, **_options: Any) -> dict[str, str]:
    """Cancel tasks by their ids (with `terminate`, too: a task that runs is asked to stop)."""
    return cancelled(task_id)


@control_command(variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]")
def terminate(_state: Any, task_id: Any, **_options: Any) -> dict[str, str]:
    """Cancel tasks by their ids; the signal is not sent: a handler is stopped as every cancelled one is."""
    return cancelled(task_id)


@control_command(variadic="headers", signature="[key1=value1 [key2=value2 [... [keyN=valueN]]]]")
def revoke_by_stamped_headers(_state: Any, **_options: Any) -> dict[str, str]:
    """Refused: hints carry no stamps."""
    return _failed(f"nothing was cancelled: hints carry no stamps; {INSTEAD}")
