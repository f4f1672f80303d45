"""Attempt: the TaskContext of a unit test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Unpack
from uuid import UUID

from taskledger_sdk.context import SubmitOptions
from taskledger_sdk.errors import PermanentError, ShuttingDown, TaskCancelled, TimeLimitReached
from taskledger_sdk.results import storable_checkpoint
from taskledger_sdk.testing.artifacts import MemoryArtifacts
from taskledger_sdk.testing.stops import Moment, Reason, Stop
from taskledger_sdk.testing.submissions import Submission, submission

TASK_ID = UUID("018f3c5e-7d2a-7000-8000-0123456789ab")
TIMEOUT_SECONDS = 300.0


class Report(NamedTuple):
    """One call of task.progress()."""

    fraction: float
    message: str


class Line(NamedTuple):
    """One call of task.log()."""

    message: str
    fields: dict[str, Any]


def _utcnow() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Attempt:
    """A running attempt that remembers what its handler says, and stops it where a test asks for that.

    A handler may be called with it as it is, `handler(Attempt(), payload)`, or by run(), which then gives it the name,
    the time limit and the settings of the handler's type. No time passes but by pass_time().
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    id: UUID = TASK_ID
    type: str = "test"
    attempt: int = 1
    timeout_seconds: float | None = None
    """The task's own time limit; None: that of its type."""
    now: Callable[[], datetime] = _utcnow
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    reported: list[Report] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    submitted: list[Submission] = field(default_factory=list)
    last_checkpoint: Any = None
    """What the attempt begins with, and what it has kept last; it goes on to the next one."""
    checkpoints: list[Any] = field(default_factory=list)
    """All that was kept, by this attempt and those before it."""
    given_back: int = 0
    """How many of the attempts before this one were given back, and so used no retry."""
    type_seconds: float = field(default=TIMEOUT_SECONDS, init=False)
    """The time limit of its type."""
    seconds: float = field(default=0.0, init=False)
    """How much time has passed in this attempt."""
    stopped: Reason | None = field(default=None, init=False)
    """Why this attempt was asked to stop."""
    coroutine: asyncio.Task[Any] | None = field(default=None, init=False, repr=False)
    """What runs an `async def` handler: it is cancelled, where a plain handler gets an exception."""
    _stops: list[Stop] = field(default_factory=list, init=False, repr=False)
    _checks: int = field(default=0, init=False, repr=False)
    _checkpoints: int = field(default=0, init=False, repr=False)
    _fraction: float | None = field(default=None, init=False, repr=False)

    @property
    def limit_seconds(self) -> float:
        """After how much time TimeLimitReached is raised."""
        return self.type_seconds if self.timeout_seconds is None else self.timeout_seconds

    @property
    def deadline(self) -> datetime:
        """Now, and the time that is left: what has passed by pass_time() is not left any more."""
        return self.now() + timedelta(seconds=self.limit_seconds - self.seconds)

    @property
    def retries_used(self) -> int:
        """How many of the attempts before this one were retries or failed."""
        return self.attempt - 1 - self.given_back

    def stop(
        self,
        why: Reason,
        *,
        at_check: int | None = None,
        at_checkpoint: int | None = None,
        at_progress: float | None = None,
        after_seconds: float | None = None,
    ) -> None:
        """Stop the handler once, in this attempt or the first later one that comes so far.

        At its `at_check`th call of task.check_cancelled(); with its `at_checkpoint`th checkpoint, which is kept; when
        it has reported so much progress; after so many seconds; or in its next call of one of these. A plain handler
        gets `why` as an exception. A coroutine is cancelled, except where it asks: check_cancelled(), checkpoint(),
        progress() and submit() raise in it, too.
        """
        self._stops.append(
            Stop(
                why=why,
                at_check=at_check,
                at_checkpoint=at_checkpoint,
                at_progress=at_progress,
                after_seconds=after_seconds,
            )
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the handler, without waiting: call it in what stands for something slow.

        Raises TimeLimitReached when the limit is reached by that, as it would be raised in the slow call.
        """
        self.seconds += seconds
        self._stop_if_due(is_asking=False)

    def begin_next(self, *, is_counted: bool) -> None:
        """Make it the next attempt of the same task; `is_counted` unless the one before was given back."""
        self.given_back += not is_counted
        self.attempt += 1
        self.seconds, self.stopped, self._checks, self._fraction = 0.0, None, 0, None
        self._checkpoints = 0

    def checkpoint(self, value: Any) -> None:
        """Remember a value for the next attempt, as the ledger would: tuples become lists, keys strings."""
        kept = json.loads(json.dumps(storable_checkpoint(value)))
        self.checkpoints.append(kept)
        self.last_checkpoint = kept
        self._checkpoints += 1
        self._stop_if_due()

    def submit(
        self,
        type_name: str,
        payload: Any,
        /,
        *,
        key: str | None = None,
        now: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> UUID:
        """Remember a submission; with a key that was used, return the first one's id."""
        self._stop_if_due()
        made = submission(type_name, payload, key=key, now=now, attempt=self.attempt, options=options)
        same = next((each for each in self.submitted if key is not None and each.key == key), None)
        if same is None:
            self.submitted.append(made)
            return made.id
        if same.attempt == self.attempt and (same.type, same.payload) != (made.type, made.payload):
            raise PermanentError(f"task.submit({type_name!r}): key {key!r} names another task of this attempt")
        return same.id

    def progress(self, fraction: float, message: str = "") -> None:
        """Remember how far the task is."""
        self._stop_if_due()
        self._fraction = min(1.0, max(0.0, float(fraction)))
        self.reported.append(Report(self._fraction, message))
        self._stop_if_due()

    def log(self, message: str, **fields: object) -> None:
        """Remember a line."""
        self.lines.append(Line(message, dict(fields)))

    def check_cancelled(self) -> None:
        """Raise TaskCancelled if the test asked for it by now."""
        self._checks += 1
        self._stop_if_due()

    def _stop_if_due(self, *, is_asking: bool = True) -> None:
        if self.stopped in (TaskCancelled, ShuttingDown):
            raise self.stopped  # after a time limit the handler cleans up, and may report how far it got with that
        why = self._due()
        if why is None:
            return
        self.stopped = why
        if self.coroutine is not None and not (is_asking and why is not TimeLimitReached):
            self.coroutine.cancel()
        else:
            raise why

    def _due(self) -> Reason | None:
        moment = Moment(
            checks=self._checks, checkpoints=self._checkpoints, fraction=self._fraction, seconds=self.seconds
        )
        for stop in self._stops:
            if stop.has_come(moment):
                self._stops.remove(stop)
                return stop.why
        return TimeLimitReached if self.seconds >= self.limit_seconds and self.stopped is None else None
