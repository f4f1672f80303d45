"""What a process publishes behind its requests and handlers, by one thread, and what it knows of the broker by that."""

import atexit
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from app.messaging.messages import DeadLetter, Hint, coalesce
from app.messaging.publisher import Publisher, publish_each
from app.observability.metrics import HINTS_PUBLISHED

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


def _thread_of_its_own() -> PublisherThread:
    return PublisherThread(Publisher())


class Background:
    """Publishes by one thread a process, which starts at its first use: a fork inherits no threads."""

    def __init__(
        self,
        *,
        make_thread: Callable[[], PublisherThread] = _thread_of_its_own,
        make_publisher: Callable[[], Publisher] = Publisher,
    ) -> None:
        self._make_thread = make_thread
        self._make_publisher = make_publisher
        self._thread: PublisherThread | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def dispatch_soon(self, *hints: Hint) -> None:
        """Publish hints; never waits, never raises: a hint that is lost costs a few seconds, no task."""
        thread = self._running_thread()
        dropped = sum(not thread.offer(hint) for hint in hints)
        if dropped:
            HINTS_PUBLISHED.labels("dropped").inc(dropped)
            log.warning("hints_dropped", dropped=dropped, error="the publisher's queue is full")

    def publish_dead_letter(self, *letters: DeadLetter) -> None:
        """Show dead letters in the broker's queue for them; never waits, never raises: the ledger has the truth."""
        thread = self._running_thread()
        for letter in letters:
            thread.offer(letter)

    def broker_fault(self) -> str | None:
        """What keeps hints from the broker, or None.

        Takes two seconds at most, and nothing when a hint was just tried.
        """
        thread = self._thread if self._pid == os.getpid() else None
        if thread is not None:
            if thread.has_just_published():
                return None
            # A broker that takes connections may still refuse what is published: a queue with other arguments for one.
            if fault := thread.recent_fault():
                return fault
        publisher = self._make_publisher()
        try:
            publisher.connect()
        except publisher.errors as error:
            return f"{type(error).__name__}: {error}"
        finally:
            publisher.close()
        return None

    def waiting_hints(self, queues: Iterable[str]) -> dict[str, int | None]:
        """How many hints wait in each queue; None for all when the broker does not answer. Takes seconds at most."""
        names = sorted(queues)
        publisher = self._make_publisher()
        try:
            return {name: publisher.ready_count(name) for name in names}
        except publisher.errors as error:
            log.warning("queues_not_counted", error=f"{type(error).__name__}: {error}")
            return dict.fromkeys(names)
        finally:
            publisher.close()

    def _running_thread(self) -> PublisherThread:
        """The thread of this process, started again if it has died."""
        if self._thread is not None and self._pid == os.getpid() and self._thread.is_well():
            return self._thread
        if self._pid not in (0, os.getpid()):
            self._lock = threading.Lock()  # the inherited one may have been held when the process forked
        with self._lock:
            if self._thread is None or self._pid != os.getpid():
                self._thread, self._pid = self._make_thread(), os.getpid()
                atexit.register(self._thread.stop, FLUSH_SECONDS)
            self._thread.start()
        return self._thread


_of_this_process = Background()
dispatch_soon = _of_this_process.dispatch_soon
publish_dead_letter = _of_this_process.publish_dead_letter
broker_fault = _of_this_process.broker_fault
waiting_hints = _of_this_process.waiting_hints
