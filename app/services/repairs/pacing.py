"""When a repair goes on, how fast, and when it stops by itself. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.models import RepairRecord, RepairStatus

JUDGED_FROM = 20
"""A ratio of fewer first attempts says little; a smaller canary is judged as a whole."""
CANARY_PATIENCE = timedelta(minutes=10)
MAX_UNENDED = 10_000
"""Replayed tasks that have not ended: more would only lengthen the queue that everybody waits in."""
BURST_SECONDS = 0.5
S = RepairStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """How a repair goes about it; `canary` 0: none; `stop_above_failure_ratio` None: it never stops by itself."""

    canary: int
    per_second: float
    stop_above_failure_ratio: float | None

    @classmethod
    def of(cls, repair: RepairRecord) -> "Spec":
        """As the row says it."""
        return cls(**{name: repair.spec[name] for name in cls.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """The status that a repair goes on in, and why."""

    status: RepairStatus
    reason: str | None = None


def next_move(repair: RepairRecord, *, now: datetime) -> Move | None:
    """Where a repair goes from what is known of its tasks; None: it stays."""
    spec = Spec.of(repair)
    if repair.status not in (S.CANARY, S.RUNNING):
        return None
    if _fails_too_often(repair, spec):
        return Move(
            status=S.STOPPED,
            reason=f"{repair.failed} of {repair.well + repair.failed} first attempts have failed, which is more than "
            f"stop_above_failure_ratio ({spec.stop_above_failure_ratio:g})",
        )
    if repair.remaining == 0 and repair.unended == 0:
        return Move(status=S.COMPLETED)
    if repair.status == S.CANARY and _canary_is_replayed(repair, spec):
        if repair.unended == 0:
            return Move(status=S.RUNNING)
        if repair.canary_at is not None and now - repair.canary_at >= CANARY_PATIENCE:
            minutes = CANARY_PATIENCE // timedelta(minutes=1)
            return Move(
                status=S.PAUSED,
                reason=f"{repair.unended} tasks of the canary have not ended within {minutes} minutes: "
                "look why with /why, and resume",
            )
    return None


def _fails_too_often(repair: RepairRecord, spec: Spec) -> bool:
    judged_from = min(JUDGED_FROM, spec.canary) if spec.canary else JUDGED_FROM
    if spec.stop_above_failure_ratio is None or repair.well + repair.failed < min(judged_from, repair.count):
        return False
    return (repair.failure_ratio or 0.0) > spec.stop_above_failure_ratio


def waits_for_canary(repair: RepairRecord) -> bool:
    """Whether the canary is wholly replayed, and its tasks must end before others follow."""
    return repair.status == S.CANARY and _canary_is_replayed(repair, Spec.of(repair))


def _canary_is_replayed(repair: RepairRecord, spec: Spec) -> bool:
    return repair.replayed >= spec.canary or repair.remaining == 0


def earned(repair: RepairRecord, *, now: datetime) -> float:
    """The credit of this moment: what the rate allows since it was last counted, half a second's worth at most."""
    rate = Spec.of(repair).per_second
    seconds = 0.0 if repair.last_at is None else max(0.0, (now - repair.last_at).total_seconds())
    return min(repair.credit + seconds * rate, max(1.0, rate * BURST_SECONDS))


def room(repair: RepairRecord, credit: float, *, most: int) -> int:
    """How many tasks may be replayed now."""
    if repair.status not in (S.CANARY, S.RUNNING):
        return 0
    left = repair.remaining if repair.status == S.RUNNING else Spec.of(repair).canary - repair.replayed
    return max(0, min(int(credit), left, repair.remaining, _max_unended(repair) - repair.unended, most))


def _max_unended(repair: RepairRecord) -> int:
    """How many may be under way at once: as many as have ended well, but half a second's worth always.

    What is under way when a fault shows cannot be called back. So a repair that would stop goes only as far ahead of
    its outcomes as they have earned it, and workers that are slow are not buried.
    """
    spec = Spec.of(repair)
    if repair.status == S.CANARY or spec.stop_above_failure_ratio is None:
        return MAX_UNENDED
    return min(MAX_UNENDED, max(1, int(spec.per_second * BURST_SECONDS), repair.well))


def resumed(repair: RepairRecord) -> RepairStatus:
    """Where a paused repair goes on: with its canary while that is not over."""
    spec = Spec.of(repair)
    is_over = _canary_is_replayed(repair, spec) and repair.unended == 0
    return S.RUNNING if spec.canary == 0 or is_over or repair.replayed > spec.canary else S.CANARY
