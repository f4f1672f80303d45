"""When a handler is asked to stop in a test, and why."""

from __future__ import annotations

from dataclasses import dataclass

from taskledger_sdk.errors import ShuttingDown, TaskCancelled, TimeLimitReached

Reason = type[TaskCancelled] | type[TimeLimitReached] | type[ShuttingDown]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How far an attempt is."""

    checks: int
    checkpoints: int
    fraction: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Stop:
    """`why` is raised once one of the others has come, at once if none is given."""

    why: Reason
    at_check: int | None = None
    at_checkpoint: int | None = None
    at_progress: float | None = None
    after_seconds: float | None = None

    def __post_init__(self) -> None:
        moments = (self.at_check, self.at_checkpoint, self.at_progress, self.after_seconds)
        if len([each for each in moments if each is not None]) > 1:
            raise ValueError(
                "give one of at_check, at_checkpoint, at_progress and after_seconds, or none of them to stop at once"
            )

    def has_come(self, moment: Moment) -> bool:
        """Whether the attempt is that far."""
        if self.at_check is not None:
            return moment.checks >= self.at_check
        if self.at_checkpoint is not None:
            return moment.checkpoints >= self.at_checkpoint
        if self.at_progress is not None:
            return moment.fraction is not None and moment.fraction >= self.at_progress
        return self.after_seconds is None or moment.seconds >= self.after_seconds
