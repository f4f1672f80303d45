"""One attempt in the hands of a remote worker: what its handler sees of it, and what there is to tell of it."""

import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from taskledger_sdk.errors import ShuttingDown, TaskCancelled, TimeLimitReached
from taskledger_sdk.results import storable_checkpoint

BEATS_IN_A_LEASE = 3
LONGEST_BEAT_SECONDS = 20.0
"""A worker that was not seen for a minute is listed as lost."""
NEWS_SECONDS = 1.0
"""Between two beats, where there is something to tell."""
MAX_LINES = 100
MAX_WAITING_LINES = 1_000
MAX_FIELDS = 20
MESSAGE_CHARACTERS = 2_000


class WorkTask:
    """The running attempt as its handler sees it; what it tells goes out with the next heartbeat.

    Its methods may be called from any thread, and from coroutines: none of them waits for the service.
    """

    def __init__(self, item: Mapping[str, Any], *, claimed_at: float) -> None:
        self.id = UUID(item["task_id"])
        self.type: str = item["type"]
        self.payload: Any = item["payload"]
        self.attempt: int = item["attempt"]
        self.max_retries: int = item["max_retries"]
        self.lease: str = item["lease"]
        self.lease_seconds: float = item["lease_seconds"]
        self.ends_at: float = claimed_at + item["timeout_seconds"]
        self.stop: BaseException | None = None
        """Why the handler is to end, once it is."""
        self.is_lost = False
        """Whether the lease is another's by now: whatever comes of it counts for nothing."""
        self._lock = threading.Lock()
        self._kept: Any = item.get("checkpoint")
        self.claimed_at = claimed_at
        self.longest_beat_seconds = LONGEST_BEAT_SECONDS
        """A cancel is heard with a beat: who cannot ask for one by itself may want it sooner."""
        self._checkpoint: tuple[Any] | None = None  # kept and not told yet
        self._progress: tuple[float, str] | None = None
        self._lines: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING_LINES)
        self._beaten_at = claimed_at

    def __repr__(self) -> str:
        return f"<WorkTask {self.id} {self.type}, attempt {self.attempt}>"

    @property
    def deadline(self) -> datetime:
        """The moment (UTC) at which check_cancelled() begins to raise TimeLimitReached."""
        return datetime.now(UTC) + timedelta(seconds=self.ends_at - time.monotonic())

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the task is, 0 to 1; only the newest word is sent, about once a second. Raises as the next."""
        self.check_cancelled()
        self.keep_progress(fraction, message)

    def keep_progress(self, fraction: float, message: str) -> None:
        """The same of a task that runs in another process, whose end is not asked for here."""
        with self._lock:
            self._progress = (min(1.0, max(0.0, float(fraction))), _text(message))

    @property
    def has_news(self) -> bool:
        """Whether something is to be told that was not told yet."""
        return bool(self._progress is not None or self._lines or self._checkpoint is not None)

    @property
    def last_checkpoint(self) -> Any:
        """What this attempt or an earlier one has kept with checkpoint() last; None: nothing, so begin at the start."""
        return self._kept

    def checkpoint(self, value: Any) -> None:
        """Keep a value, as JSON of at most 64 KB, that the next attempt of this task can go on from.

        It goes out with a heartbeat within a second, or with the word that the task is given back. Raises as
        check_cancelled() does, and PermanentError for a value that is no JSON, or too long.
        """
        self._kept = storable_checkpoint(value)
        with self._lock:
            self._checkpoint = (self._kept,)
        self.check_cancelled()

    def take_checkpoint(self) -> dict[str, Any]:
        """What was kept and not told yet, as a field of what is told."""
        with self._lock:
            kept, self._checkpoint = self._checkpoint, None
        return {} if kept is None else {"checkpoint": kept[0]}

    def check_cancelled(self) -> None:
        """Raise TaskCancelled, ShuttingDown or TimeLimitReached once it is to end; call it where stopping is safe."""
        if self.stop is not None:
            raise type(self.stop)(*self.stop.args)
        if time.monotonic() >= self.ends_at:
            raise TimeLimitReached("its time limit was reached")

    def log(self, message: str, **fields: Any) -> None:
        """Keep a line with the task, for whoever reads it through the API; of its fields the first 20."""
        plain = {_text(name): _plain(value) for name, value in islice(fields.items(), MAX_FIELDS)}
        with self._lock:
            self._lines.append({"message": _text(message) or " ", "fields": plain})

    def next_beat_at(self) -> float:
        """The moment of time.monotonic() at which its lease is to be renewed, or what is new is to be told."""
        regular = min(self.lease_seconds / BEATS_IN_A_LEASE, self.longest_beat_seconds)
        return self._beaten_at + (min(regular, NEWS_SECONDS) if self.has_news else regular)

    def take_beat(self) -> dict[str, Any]:
        """A heartbeat with what is new, which is told once."""
        kept = self.take_checkpoint()
        with self._lock:
            self._beaten_at = time.monotonic()
            beat: dict[str, Any] = {"task_id": str(self.id), "lease": self.lease, **kept}
            if self._progress is not None:
                fraction, message = self._progress
                beat |= {"progress": fraction, "message": message or None}
                self._progress = None
            lines = [self._lines.popleft() for _ in range(min(len(self._lines), MAX_LINES))]
            return {**beat, "log": lines} if lines else beat

    def give_back(self, beat: Mapping[str, Any]) -> None:
        """A heartbeat was not sent: what it told waits for the next one, unless there is something newer."""
        with self._lock:
            if "progress" in beat and self._progress is None:
                self._progress = (beat["progress"], beat["message"] or "")
            if "checkpoint" in beat and self._checkpoint is None:
                self._checkpoint = (beat["checkpoint"],)
            self._lines.extendleft(reversed(beat.get("log", ())))

    def hear(self, answer: Mapping[str, Any]) -> BaseException | None:
        """Take the answer to a heartbeat; returns why the handler is to end, if that is new."""
        if answer["status"] != 200:
            self.is_lost = True
        else:
            self.lease_seconds = answer["lease_seconds"]
        if self.is_lost or answer["cancel_requested"]:
            return self.ask_to_stop(TaskCancelled("its lease was lost" if self.is_lost else "it was cancelled"))
        return None

    def ask_to_stop(self, why: BaseException) -> BaseException | None:
        """Have the handler end, unless it was asked before."""
        if self.stop is not None:
            return None
        self.stop = why
        return why

    def is_overdue(self, now: float) -> bool:
        """Whether its time limit has passed."""
        return now >= self.ends_at


def printable(text: str) -> str:
    """Without what PostgreSQL cannot keep: NUL characters and lone surrogates."""
    return text.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()


def _text(text: str) -> str:
    return printable(text[:MESSAGE_CHARACTERS])[:MESSAGE_CHARACTERS]


def _plain(value: Any) -> Any:
    """A value that JSON has, or what it is as text."""
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    return _text(str(value))


def stopping() -> ShuttingDown:
    """What the handlers of a worker are told that ends."""
    return ShuttingDown("the worker ends")
