"""The work of the routes below /work: transactions, leases that are told, what is counted and published after them."""

import hashlib
import hmac
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from app import messaging
from app.clock import utcnow
from app.errors import Conflict, NotFound, Refused
from app.messaging import DeadLetter
from app.observability.metrics import TASK_RUN_SECONDS, TASK_WAIT_SECONDS
from app.services.accounts import rights as rights_by_type
from app.services.accounts.rights import TypeNotAllowed
from app.services.lifecycle import Claim
from app.services.remote import attempts, claiming, presence, working
from app.services.remote.attempts import Caller, Held
from app.services.remote.claiming import Taken, Wanted
from app.services.remote.known import TYPES
from app.services.remote.presence import PRESENCE, WorkerInfo
from app.services.remote.working import Beat, Ending, Pulse, Recorded
from app.services.tasks.outcomes import Completed, Failed, GivenBack, Outcome, Retrying, Stopped
from app.web.access import current_caller, current_principal
from app.web.current_settings import current_settings
from app.web.live.waiting_claims import waiting_claims
from app.web.transactions import in_transaction
from taskledger_sdk.payload.fields import UUID_TEXT
from taskledger_sdk.registry import TaskType

RETRY_AFTER_SECONDS = 2
OUTCOMES: dict[type[Outcome], str] = {
    Completed: "completed",
    Retrying: "retrying",
    Failed: "failed",
    Stopped: "stopped",
    GivenBack: "given_back",
}
STATUSES = {working.HOLDS: (200, None), working.LOST: (409, "lease_lost"), working.UNKNOWN: (404, "not_found")}


class LeaseIsLost(Conflict):
    """The caller does not hold the task's lease any more."""

    code = "lease_lost"


def task_id_of(text: str) -> UUID:
    """The id in a path. Raises NotFound."""
    if not UUID_TEXT.fullmatch(text):
        raise _not_found(text)
    return UUID(text)


def _not_found(task_id: object) -> NotFound:
    return NotFound(f"There is no task {task_id} of a type that this key may work on.")


def _lost(task_id: UUID) -> LeaseIsLost:
    return LeaseIsLost(
        f"The lease of task {task_id} is not held any more: it has run out, was ended, or is another's. Nothing was "
        "changed; drop what was done, and claim anew."
    )


def _caller() -> Caller:
    principal = current_principal()
    limits = [each.types for each in principal.rights if each.types is not None]
    return Caller(account=principal.user_id, types=frozenset.intersection(*limits) if limits else None)


def claim(asked: dict[str, Any]) -> dict[str, Any]:
    """The tasks that a worker gets. Raises TypeNotAllowed, and Refused for types that are none of these."""
    types = _types(asked["types"])
    told = {name: asked[name] for name in ("host", "pid", "version", "concurrency")}
    worker = WorkerInfo(account=current_principal().user_id, name=asked["worker"], **told)
    _note(worker, types)
    lease = None if asked["claim"] is None else _lease_of(worker, asked["claim"])
    wanted = Wanted(worker=worker, types=types, max_items=asked["max"], lease=lease)
    look = partial(_look, wanted)
    found, has_waited = None, True
    if asked["wait"]:
        found, has_waited = waiting_claims().wait(types, look, seconds=asked["wait"], caller=current_caller())
    if not asked["wait"] or not has_waited:
        found = look()
    return {"items": found or [], "retry_after": None if has_waited or found else RETRY_AFTER_SECONDS}


def _types(names: Sequence[str]) -> dict[str, TaskType]:
    caller, found, unknown = _caller(), {}, list[str]()
    for name in names:
        if not caller.may_work_on(name):
            raise TypeNotAllowed(name, f"This key may not work on tasks of type {name}: make one whose types name it.")
        kind = TYPES.find(name)
        if kind is None:
            unknown.append(name)
        else:
            rights_by_type.check(current_principal().rights, kind)
            found[name] = kind
    retired = in_transaction(lambda session: attempts.kinds_of(session, unknown)) if unknown else {}
    missing = [name for name in unknown if name not in retired]
    if missing:
        known = ", ".join(name for name in TYPES.all() if caller.may_work_on(name)) or "none"
        raise Refused({"types": [f"{', '.join(missing)}: there is no such remote type; this key may work on: {known}"]})
    return found | retired


def _note(worker: WorkerInfo, types: dict[str, TaskType]) -> None:
    """Write now and then that the worker lives."""
    if PRESENCE.is_due(worker.id):
        hashes = {name: kind.schema_hash for name, kind in types.items()}
        in_transaction(lambda session: presence.seen(session, worker, hashes, now=utcnow()))


def _lease_of(worker: WorkerInfo, claim_id: UUID) -> UUID:
    """The lease of a claim with this id: always the same for the same worker, and nobody else can tell it."""
    key = current_settings().secret_key.encode()
    said = f"taskledger work claim\n{worker.id}\n{claim_id}".encode()
    return UUID(bytes=hmac.new(key, said, hashlib.sha256).digest()[:16], version=4)


def _look(wanted: Wanted) -> list[dict[str, Any]] | None:
    """Claim what waits; None where nothing does. What no attempt can be made of ends at once, and is not told."""
    default = current_settings().lease_seconds
    while True:
        now = utcnow()
        taken: Taken = in_transaction(partial(claiming.claim, wanted=wanted, default_lease_seconds=default, now=now))
        if not taken.claims:
            return None
        if not taken.is_repeated:
            _count_waits(taken.claims)
        refused = [
            (held, outcome) for held in taken.claims if (outcome := claiming.refused(wanted.types[held.type], held))
        ]
        _record_refused(refused)
        gone = {held.id for held, _ in refused}
        items = _items(wanted, taken, [held for held in taken.claims if held.id not in gone])
        if items:
            return items


def _count_waits(claims: Sequence[Claim]) -> None:
    now = utcnow()
    for held in claims:
        if held.waiting_since is not None:
            TASK_WAIT_SECONDS.labels(held.type).observe(max(0.0, (now - held.waiting_since).total_seconds()))


def _record_refused(refused: Sequence[tuple[Claim, Outcome]]) -> None:
    if refused:
        in_transaction(lambda session: working.record_claims(session, refused, now=utcnow()))
        for held, outcome in refused:
            _publish_dead_letter(held, outcome)


def _items(wanted: Wanted, taken: Taken, claims: Sequence[Claim]) -> list[dict[str, Any]]:
    spent = in_transaction(lambda session: claiming.seconds_spent(session, claims)) if taken.is_repeated else {}
    return [
        _item(held, wanted.types[held.type], spent.get(held.id, 0.0))
        | {"checkpoint": taken.checkpoints.get(held.id), "traceparent": held.traceparent}
        for held in claims
    ]


def _item(held: Claim, kind: TaskType, spent: float) -> dict[str, Any]:
    return {
        "task_id": held.id,
        "type": held.type,
        "payload": held.payload,
        "attempt": held.attempt,
        "max_retries": held.max_retries,
        "lease": held.lease,
        "lease_seconds": held.lease_seconds,
        "timeout_seconds": max(0.0, round((held.timeout_seconds or kind.timeout_seconds) - spent, 3)),
        "grace_seconds": kind.grace_seconds,
    }


def beat_one(told: Beat) -> dict[str, Any]:
    """The answer to one heartbeat. Raises NotFound or LeaseIsLost."""
    [pulse] = _beat([told])
    _raise_unless_held(pulse)
    return {"lease_seconds": pulse.lease_seconds, "cancel_requested": pulse.cancel_requested}


def beat(told: Sequence[Beat]) -> list[dict[str, Any]]:
    """The answers to several, in their order."""
    return [_beat_state(pulse) for pulse in _beat(told)]


def _beat_state(pulse: Pulse) -> dict[str, Any]:
    holds = pulse.state == working.HOLDS
    return _state(pulse) | {
        "lease_seconds": pulse.lease_seconds if holds else None,
        "cancel_requested": pulse.cancel_requested if holds else None,
    }


def _beat(told: Sequence[Beat]) -> Sequence[Pulse]:
    default, now = current_settings().lease_seconds, utcnow()
    beaten = in_transaction(
        lambda session: working.beat(session, told, caller=_caller(), default_lease_seconds=default, now=now)
    )
    due = [worker_id for worker_id in sorted(beaten.worker_ids) if PRESENCE.is_due(worker_id)]
    if due:
        in_transaction(lambda session: presence.heard_of(session, due))
    if beaten.ending:
        recorded = in_transaction(lambda session: working.record(session, beaten.ending, now=now))
        _tell([(held, recorded[held.claim.id]) for held, _ in beaten.ending if held.claim.id in recorded])
    if beaten.unkept:  # whoever told it believes that it is kept; leases are renewed by now
        in_transaction(lambda session: working.keep(session, beaten.unkept))
    return beaten.pulses


def end_one(told: Ending) -> dict[str, Any]:
    """What was recorded of one ending. Raises NotFound or LeaseIsLost."""
    [recorded] = _end([told])
    _raise_unless_held(recorded)
    return {"task_id": recorded.task_id, "outcome": _outcome(recorded)}


def end(told: Sequence[Ending]) -> list[dict[str, Any]]:
    """What was recorded of several, in their order."""
    return [_state(recorded) | {"outcome": _outcome(recorded)} for recorded in _end(told)]


def _end(told: Sequence[Ending]) -> list[Recorded]:
    default, now = current_settings().lease_seconds, utcnow()
    recorded = in_transaction(
        lambda session: working.end(session, told, caller=_caller(), default_lease_seconds=default, now=now)
    )
    _tell([each.ended for each in recorded if each.ended is not None])
    return recorded


def _outcome(recorded: Recorded) -> str | None:
    if recorded.ended is None:
        return None
    held, outcome = recorded.ended
    is_stopped = held.cancel_seconds is not None and not isinstance(outcome, Completed)
    return OUTCOMES[Stopped if is_stopped else type(outcome)]


def _state(answer: Pulse | Recorded) -> dict[str, Any]:
    status, code = STATUSES[answer.state]
    return {"task_id": answer.task_id, "status": status, "code": code}


def _raise_unless_held(answer: Pulse | Recorded) -> None:
    if answer.state == working.UNKNOWN:
        raise _not_found(answer.task_id)
    if answer.state == working.LOST:
        raise _lost(answer.task_id)


def _tell(ended: Sequence[tuple[Held, Outcome]]) -> None:
    """Count how long attempts ran, and show dead letters to whoever watches the broker's queue of them."""
    for held, outcome in ended:
        TASK_RUN_SECONDS.labels(held.claim.type, OUTCOMES[type(outcome)]).observe(held.running_seconds)
        _publish_dead_letter(held.claim, outcome)


def _publish_dead_letter(held: Claim, outcome: Outcome) -> None:
    if isinstance(outcome, Failed):
        messaging.publish_dead_letter(
            DeadLetter.of_failure(
                held.id, held.type, held.attempt, reason=outcome.reason, error_type=outcome.failure.type
            )
        )


def leave(worker_name: str) -> None:
    """Note that a worker of the caller's account has ended."""
    worker_id = WorkerInfo(account=current_principal().user_id, name=worker_name).id
    in_transaction(lambda session: presence.stopped(session, worker_id, now=utcnow()))
    PRESENCE.forget(worker_id)
