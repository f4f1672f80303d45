"""What becomes of due slots: pure decisions by misfire and overlap policy (docs/explanation/schedules.md)."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.models import Misfire, Overlap, ScheduleRecord, SlotState

LATE = timedelta(seconds=30)  # a dispatcher that runs notices a slot within a second, or ten when 10,000 come at once
MAX_CAPPED = 100

NOBODY_LOOKED = "no dispatcher ran at its time"
STILL_RUNNING = "the task of the last slot is unfinished (overlap skip)"
QUEUE_FULL = "an earlier slot already waits for the last task to finish (overlap queue_one)"
WAITED = "waited for the task of the last slot to finish"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of one slot."""

    slot_at: datetime
    state: SlotState
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FireContext:
    """What a decision depends on beside the schedule and the slots.

    `slots`: those that have come, oldest first; `more`: so many that others follow which have come, too;
    `busy`: the last task is unfinished; `forbidden`: why nothing may be fired now.
    """

    slots: Sequence[datetime]
    more: bool = False
    busy: bool = False
    forbidden: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Decisions for slots, and the slot that waits from now on, which gets its decision later."""

    decisions: tuple[Decision, ...]
    queued: datetime | None


def decide(schedule: ScheduleRecord, given: FireContext, *, now: datetime) -> Verdict:
    """Every slot that has come is decided or waits, and so is the one that waited, once the last task has finished."""
    wanted, missed = _misfires(schedule, given, now)
    decisions: list[Decision] = list(missed)
    busy, queued = given.busy, schedule.queued_slot_at
    if queued is not None and not busy:
        decisions.append(_fired_or_forbidden(queued, given.forbidden, WAITED))
        busy, queued = given.forbidden is None, None
    for slot in wanted:
        if given.forbidden is not None or schedule.overlap == Overlap.ALLOW or (not busy and queued is None):
            decisions.append(_fired_or_forbidden(slot, given.forbidden))
            busy = busy or given.forbidden is None
        elif schedule.overlap == Overlap.SKIP:
            decisions.append(Decision(slot_at=slot, state=SlotState.SKIPPED, reason=STILL_RUNNING))
        elif queued is None:
            queued = slot
        else:
            decisions.append(Decision(slot_at=slot, state=SlotState.SKIPPED, reason=QUEUE_FULL))
    return Verdict(decisions=tuple(sorted(decisions, key=lambda each: each.slot_at)), queued=queued)


def _misfires(
    schedule: ScheduleRecord, given: FireContext, now: datetime
) -> tuple[Sequence[datetime], Iterator[Decision]]:
    """The slots to run, and decisions for those that nobody looked at in time and that the policy gives up."""
    late = [slot for slot in given.slots if now - slot > LATE]
    if given.more:  # newer ones follow, more than any cap
        kept, why = 0, "newer slots follow"
    elif schedule.misfire == Misfire.RUN_ALL:
        kept, why = schedule.misfire_cap, f"only the newest {schedule.misfire_cap} run late"
    elif schedule.misfire == Misfire.RUN_ONCE:
        kept, why = (1 if len(late) == len(given.slots) else 0), "only the newest slot runs"
    else:
        kept, why = 0, "late slots do not run"
    given_up = len(late) - min(kept, len(late))
    reason = f"{NOBODY_LOOKED}, and {why} (misfire {schedule.misfire})"
    missed = (Decision(slot_at=slot, state=SlotState.MISSED, reason=reason) for slot in late[:given_up])
    return given.slots[given_up:], missed


def _fired_or_forbidden(slot: datetime, forbidden: str | None, reason: str | None = None) -> Decision:
    if forbidden is not None:
        return Decision(slot_at=slot, state=SlotState.SKIPPED, reason=forbidden)
    return Decision(slot_at=slot, state=SlotState.FIRED, reason=reason)


def start_of(schedule_id: UUID, slot_at: datetime, jitter_seconds: int) -> datetime:
    """When the task of a slot starts: up to so many seconds later, evenly spread, the same whoever computes it."""
    if not jitter_seconds:
        return slot_at
    digest = hashlib.blake2b(f"{schedule_id}{slot_at.timestamp()}".encode(), digest_size=8).digest()
    return slot_at + timedelta(seconds=jitter_seconds * int.from_bytes(digest) / 2**64)
