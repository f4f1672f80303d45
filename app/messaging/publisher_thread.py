"""The thread that publishes behind requests and handlers, so that none of them ever waits for the broker."""

import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from app.messaging.messages import DeadLetter, Hint, coalesce
from app.messaging.publisher import Publisher, publish_each

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0  # at exit
QUEUE_LENGTH = 20_000  # hints; what does not fit is found by the dispatcher
FAULT_SECONDS = 5.0  # so long a fault is believed without asking the broker again
BUSY_FROM = 4  # tasks whose hints came while one was gathered


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the thread waits, in seconds.

    For `gather_seconds` after a chunk others of its kind wait for company: under load a hint carries many tasks and
    costs its price once. One that comes after a quiet moment goes out at once, and what travels alone never waits.
    Where BUSY_FROM came in that time, everything waits for processors anyway, and hints that carry more cost less.
    """

    gather_seconds: float = 0.02
    busy_gather_seconds: float = 0.05
    pause_after_fault_seconds: float = 1.0

    def gather_seconds_after(self, gathered: int) -> float:
        """How long to gather after a batch of so many tasks."""
        return self.busy_gather_seconds if gathered >= BUSY_FROM else self.gather_seconds


DEFAULT_TIMING = Timing()


class PublisherThread:
    """Publishes what requests and handlers hand over, so that none of them ever waits for the broker."""

    def __init__(
        self, publisher: Publisher, *, timing: Timing = DEFAULT_TIMING, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._publisher = publisher
        self._timing = timing
        self._clock = clock
        self._waiting: queue.Queue[Hint | DeadLetter] = queue.Queue(maxsize=QUEUE_LENGTH)
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._gather_seconds = timing.gather_seconds
        # Moments of the clock. The last of these is when a chunk, or what could have been one, went out.
        self._confirmed_at = self._failed_at = self._gathered_at = -math.inf
        self._fault: str | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs; what waits is kept. For one caller at a time."""
        if not self.is_well():
            self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
            self._thread.start()

    def is_well(self) -> bool:
        """Whether the thread runs, or has been asked to end."""
        return self._stopping.is_set() or (self._thread is not None and self._thread.is_alive())

    def recent_fault(self) -> str | None:
        """What went wrong with the last message, if that was a moment ago."""
        return self._fault if self._clock() - self._failed_at < FAULT_SECONDS else None

    def has_just_published(self) -> bool:
        """Whether the broker has just confirmed a message, and nothing went wrong since."""
        return self._fault is None and self._clock() - self._confirmed_at < FLUSH_SECONDS

    def offer(self, message: Hint | DeadLetter) -> bool:
        """Hand a message over; False when the queue is full: then the dispatcher finds the row."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            return False
        if not _can_share(message):
            self._hurry.set()
        return True

    def stop(self, seconds: float) -> None:
        """Publish what waits, for so long at most, and end the thread."""
        self._stopping.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._waiting.empty()):
            batch = self._take()
            if not batch:
                continue
            try:
                self._publish(coalesce(each for each in batch if isinstance(each, Hint)))
                self._publish_dead_letters([each for each in batch if isinstance(each, DeadLetter)])
            except Exception as error:  # a thread that ended would take every later hint of this process with it
                log.exception("publisher_failed")
                self._dropped(len(batch), error)
        self._publisher.close()

    def _take(self) -> list[Hint | DeadLetter]:
        """What has arrived while the last confirmation was awaited, and a moment longer if only chunks profit."""
        self._hurry.clear()
        try:
            batch = [self._waiting.get(timeout=0.2)]
        except queue.Empty:
            return []
        self._drain(batch)
        if all(_can_share(each) for each in batch):  # who travels alone waits for nobody
            gather = self._gathered_at + self._gather_seconds - self._clock()
            if gather > 0 and not self._stopping.is_set():
                self._hurry.wait(gather)
            self._gathered_at = self._clock()
            self._drain(batch)
            self._gather_seconds = self._timing.gather_seconds_after(sum(map(_tasks_of, batch)))
        return batch

    def _drain(self, batch: list[Hint | DeadLetter]) -> None:
        """Add what waits to a batch."""
        while len(batch) < QUEUE_LENGTH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break

    def _publish(self, hints: list[Hint]) -> None:
        published = publish_each(self._publisher, hints)
        if published.confirmed:
            self._fault, self._confirmed_at = None, self._clock()
        if published.error is not None:
            # Dropped, not kept: their rows fall due in a few seconds and the dispatcher publishes them.
            self._dropped(sum(len(each.ids) for each in published.unsent), published.error)

    def _publish_dead_letters(self, letters: list[DeadLetter]) -> None:
        for letter in letters:
            try:
                self._publisher.publish_dead_letter(letter)
            except self._publisher.errors as error:
                self._dropped(len(letters), error)
                return

    def _dropped(self, count: int, error: BaseException) -> None:
        self._fault, self._failed_at = f"{type(error).__name__}: {error}", self._clock()
        log.warning("messages_dropped", count=count, error=self._fault)
        self._stopping.wait(self._timing.pause_after_fault_seconds)


def _can_share(message: Hint | DeadLetter) -> bool:
    """Whether there is room in it for others of its kind."""
    return isinstance(message, Hint) and message.chunk > len(message.ids)


def _tasks_of(message: Hint | DeadLetter) -> int:
    return len(message.ids) if isinstance(message, Hint) else 1
