"""What remote workers tell of the attempts that they run: that they go on, and how they ended."""

import dataclasses
import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from msgspec.structs import replace

from app.database import Session, from_json
from app.observability.scrubbing import scrub
from app.services import lifecycle
from app.services.lifecycle import Claim, NewPayload
from app.services.measuring import counters
from app.services.recovery.failures import MESSAGE_CHARACTERS, TRACEBACK_CHARACTERS, Failure, storable
from app.services.remote.attempts import Caller, Held, find
from app.services.tasks import checkpoints, outcomes, task_log
from app.services.tasks.outcomes import Completed, Failed, GivenBack, Outcome, Retrying, Stopped
from app.services.tasks.task_log import LogLine
from taskledger_sdk.errors import PayloadRefused, PermanentError, RetryLater
from taskledger_sdk.results import storable_result
from taskledger_sdk.retry import Retry, decide

HOLDS: Final = "holds"
LOST: Final = "lost"
UNKNOWN: Final = "unknown"
State = Literal["holds", "lost", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """One attempt that goes on, with what there is to tell of it."""

    task_id: UUID
    lease: UUID
    progress: float | None = None
    message: str | None = None
    log: Sequence[Mapping[str, Any]] = ()
    checkpoint: str | None = None
    """JSON text that the next attempt is to begin with; None: nothing new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """The answer to a beat; `lease_seconds` is for how long the lease holds from now on."""

    task_id: UUID
    state: State
    lease_seconds: int = 0
    cancel_requested: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How an attempt ended. `outcome` is complete, fail, retry or release; the other fields belong to one of them.

    `payload`: JSON text of what the next attempt is given; None: the same.
    """

    task_id: UUID
    lease: UUID
    outcome: str
    result: Any = None
    type: str = "Error"
    message: str = ""
    traceback: str | None = None
    permanent: bool = False
    retry_in: float | None = None
    checkpoint: str | None = None
    reason: str | None = None
    payload: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What became of one ending; `ended` is the claim and the outcome that was recorded, None where none was."""

    task_id: UUID
    state: State
    ended: tuple[Held, Outcome] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Beaten:
    """What came of beats: an answer for each, those that had to end by now, with how, and the ids of the workers.

    `unkept` are checkpoints of tasks whose rows somebody had locked.
    """

    pulses: Sequence[Pulse]
    ending: Sequence[tuple[Held, Outcome]]
    worker_ids: Set[str]
    unkept: Sequence[tuple[Claim, str]]


def beat(
    session: Session, beats: Sequence[Beat], *, caller: Caller, default_lease_seconds: int, now: datetime
) -> Beaten:
    """Renew the leases of attempts that go on, and keep what they tell.

    What must end has lost its lease: whoever runs it is told so. Nothing waits for rows that are locked.
    """
    named = [(each.task_id, each.lease) for each in beats]
    found = find(session, named, caller=caller, default_lease_seconds=default_lease_seconds)
    over = {id_: _forced(each) for id_, each in found.held.items()}
    ending = [(found.held[id_], outcome) for id_, outcome in over.items() if outcome is not None]
    going_on = {(id_, each.claim.lease): each for id_, each in found.held.items() if over[id_] is None}
    lifecycle.renew(session, [_renewal(each) for each in going_on.values()])
    unkept = _write_down(session, [each for each in beats if (each.task_id, each.lease) in going_on], found.held, now)
    return Beaten(
        pulses=[_pulse(each, going_on, found.lost | set(over)) for each in beats],
        ending=ending,
        worker_ids={each.leased_by for each in found.held.values()},
        unkept=unkept,
    )


def keep(session: Session, checkpoints_: Sequence[tuple[Claim, str]]) -> None:
    """Keep checkpoints for attempts that hold their lease; waits for rows that are locked."""
    checkpoints.write(session, checkpoints_, waits=True)


def _forced(held: Held) -> Outcome | None:
    """How an attempt ends that may not go on."""
    if held.ignored_cancel:
        return Stopped()
    failure = held.overran
    return None if failure is None else _decided(held, TimeoutError(failure.message), failure)


def _renewal(held: Held) -> Claim:
    """For its whole length, and never beyond its limit and grace."""
    return replace(held.claim, lease_seconds=min(held.claim.lease_seconds, max(1, round(held.seconds_left))))


def _pulse(told: Beat, held: Mapping[tuple[UUID, UUID], Held], there: Set[UUID]) -> Pulse:
    attempt = held.get((told.task_id, told.lease))
    if attempt is None:
        return Pulse(task_id=told.task_id, state=LOST if told.task_id in there else UNKNOWN)
    return Pulse(
        task_id=told.task_id,
        state=HOLDS,
        lease_seconds=_renewal(attempt).lease_seconds,
        cancel_requested=attempt.cancel_seconds is not None,
    )


def _write_down(
    session: Session, beats: Sequence[Beat], held: Mapping[UUID, Held], now: datetime
) -> list[tuple[Claim, str]]:
    """Write what beats tell, of one attempt the last word; returns the checkpoints that could not be written now."""
    reports = {
        each.task_id: {"fraction": each.progress or 0.0, "message": _text(each.message or "")}
        for each in beats
        if each.progress is not None or each.message is not None
    }
    lifecycle.report_progress(session, [(held[id_].claim, report) for id_, report in reports.items()])
    kept = {each.task_id: each.checkpoint for each in beats if each.checkpoint is not None}
    written = checkpoints.write(session, [(held[id_].claim, text) for id_, text in kept.items()], waits=False)
    _log(session, [each for each in beats if each.log], held, now)
    return [(held[id_].claim, text) for id_, text in kept.items() if id_ not in written]


def _log(session: Session, beats: Sequence[Beat], held: Mapping[UUID, Held], now: datetime) -> None:
    """Keep lines, as many of an attempt as a Celery worker keeps."""
    if not beats:
        return
    written, lines = task_log.counts(session, {each.task_id for each in beats}), list[LogLine]()
    for each in beats:
        attempt = held[each.task_id]
        key = (each.task_id, attempt.claim.attempt)
        room = max(0, task_log.max_lines(attempt.running_seconds) - written[key])
        told = [_line(each.task_id, attempt.claim.attempt, line, now) for line in each.log[:room]]
        written[key] += len(told)
        lines += told
    task_log.write(session, lines)


def _line(task_id: UUID, attempt: int, told: Mapping[str, Any], now: datetime) -> LogLine:
    fields = {name: _plain(value) for name, value in told.get("fields", {}).items()}
    return LogLine(task_id=task_id, attempt=attempt, at=now, message=_text(str(told["message"])), fields=fields)


def _text(text: str) -> str:
    return scrub(storable(text))[:MESSAGE_CHARACTERS]


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | bool) else _text(str(value))


def end(
    session: Session, endings: Sequence[Ending], *, caller: Caller, default_lease_seconds: int, now: datetime
) -> list[Recorded]:
    """Record how attempts ended, one answer for each. What has lost its lease changes nothing.

    An attempt that is named twice has ended with its first outcome. A worker may name a task twice that has lost its
    lease in between and got it anew.
    """
    firsts = {(each.task_id, each.lease): each for each in reversed(endings)}
    found = find(session, list(firsts), caller=caller, default_lease_seconds=default_lease_seconds)
    meant = {id_: _meant(firsts[id_, held.claim.lease], held) for id_, held in found.held.items()}
    recorded = record(session, [(found.held[id_], outcome) for id_, outcome in meant.items()], now=now)
    answers = []
    for each in endings:
        held = found.held.get(each.task_id)
        is_its = held is not None and held.claim.lease == each.lease and firsts[each.task_id, each.lease] is each
        if is_its and each.task_id in recorded:
            ended = (found.held[each.task_id], recorded[each.task_id])
            answers.append(Recorded(task_id=each.task_id, state=HOLDS, ended=ended))
        else:
            is_there = each.task_id in found.held or each.task_id in found.lost
            answers.append(Recorded(task_id=each.task_id, state=LOST if is_there else UNKNOWN))
    lost = sum(each.state == LOST for each in answers)
    counters.add(session, {counters.OUTCOMES_DROPPED: lost})
    return answers


def record(session: Session, ended: Sequence[tuple[Held, Outcome]], *, now: datetime) -> dict[UUID, Outcome]:
    """Record outcomes with all that follows from them; what is missing in the answer had lost its lease."""
    return record_claims(session, [(held.claim, outcome) for held, outcome in ended], now=now)


def record_claims(session: Session, ended: Sequence[tuple[Claim, Outcome]], *, now: datetime) -> dict[UUID, Outcome]:
    """The same for attempts that nobody has begun."""
    return outcomes.record(session, ended, now=now) if ended else {}


def _meant(ending: Ending, held: Held) -> Outcome:
    if ending.outcome == "complete":
        return _completed(ending, held)
    if ending.outcome == "release":
        lost = Failure(type="WorkerLost", message=lifecycle.TOO_MANY_INTERRUPTIONS)
        instead = _decided(held, RuntimeError(lost.message), lost)
        reason = f"{lifecycle.INTERRUPTED} released it"
        return GivenBack(reason=reason, instead=instead, checkpoint=ending.checkpoint)
    failure = Failure(
        type=storable(ending.type),
        message=_text(ending.message),
        traceback=None if ending.traceback is None else scrub(storable(ending.traceback))[-TRACEBACK_CHARACTERS:],
    )
    if ending.outcome == "retry":
        return _asked_for(ending, held, failure)
    return dataclasses.replace(_decided(held, _as_error(ending), failure), checkpoint=ending.checkpoint)


def _completed(ending: Ending, held: Held) -> Outcome:
    try:
        result = storable_result(ending.result)
        return Completed(result=result, reason=None if ending.reason is None else _text(ending.reason))
    except PermanentError as error:  # too large: running it again would return the same
        return _decided(held, error, Failure(type="PermanentError", message=str(error)))


def _asked_for(ending: Ending, held: Held, failure: Failure) -> Outcome:
    """Another attempt, whatever the task's retries; a payload that its type does not take ends the task."""
    payload = None
    if ending.payload is not None:
        try:
            held.task_type.check(from_json(ending.payload))
        except PayloadRefused as error:
            refused = Failure(type=type(error).__name__, message=_text(str(error)))
            return Failed(failure=refused, reason="its worker gave it another payload, which its type does not take")
        payload = NewPayload(text=ending.payload, schema_hash=held.task_type.schema_hash)
    delay = timedelta(seconds=ending.retry_in or 0.0)
    return Retrying(failure=failure, delay=delay, as_asked=True, payload=payload, checkpoint=ending.checkpoint)


def _as_error(ending: Ending) -> Exception:
    """What the retry policy decides by."""
    if ending.permanent:
        return PermanentError(ending.message)
    return RuntimeError(ending.message) if ending.retry_in is None else RetryLater(ending.retry_in)


def _decided(held: Held, error: Exception, failure: Failure) -> Retrying | Failed:
    decision = decide(
        held.task_type.retry,
        error=error,
        retries_used=held.claim.retries_used,
        max_retries=held.claim.max_retries,
        random=random.random,
    )
    if isinstance(decision, Retry):
        return Retrying(failure=failure, delay=decision.delay)
    return Failed(failure=failure, reason=decision.reason)
