"""The thread that publishes behind requests and handlers, so that none of them ever waits for the broker."""

import atexit
import os
import queue
import threading
import time
from collections.abc import Iterable

import structlog

from app.messaging.dead_letter import DeadLetter
from app.messaging.hint import Hint, coalesce
from app.messaging.publisher import Publisher, publish_each
from app.observability.metrics import HINTS_PUBLISHED

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0  # at exit
QUEUE_LENGTH = 20_000  # hints; what does not fit is found by the dispatcher
# So long after a chunk others of its kind wait for company: under load a hint carries many tasks and costs its price
# once. One that comes after a quiet moment goes out at once, and what travels alone never waits.
GATHER_SECONDS = 0.02
# Where so many came in that time, everything waits for processors anyway, and hints that carry more cost less.
BUSY_GATHER_SECONDS, BUSY_FROM = 0.05, 4
PAUSE_AFTER_FAULT_SECONDS = 1.0
FAULT_SECONDS = 5.0  # so long a fault is believed without asking the broker again


class PublisherThread:
    """Publishes what requests and handlers hand over, so that none of them ever waits for the broker."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Hint | DeadLetter] = queue.Queue(maxsize=QUEUE_LENGTH)
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._gather_seconds = GATHER_SECONDS
        self._gathered_at = 0.0  # time.monotonic() when the last chunk, or what could have been one, went out
        self._publisher = Publisher()
        self._confirmed_at = self._failed_at = 0.0  # time.monotonic()
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
        return self._fault if time.monotonic() - self._failed_at < FAULT_SECONDS else None

    def has_just_published(self) -> bool:
        """Whether the broker has just confirmed a message, and nothing went wrong since."""
        return self._fault is None and time.monotonic() - self._confirmed_at < FLUSH_SECONDS

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
                self._publish_dead_letter([each for each in batch if isinstance(each, DeadLetter)])
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
            gather = self._gathered_at + self._gather_seconds - time.monotonic()
            if gather > 0 and not self._stopping.is_set():
                self._hurry.wait(gather)
            self._gathered_at = time.monotonic()
            self._drain(batch)
            self._gather_seconds = BUSY_GATHER_SECONDS if len(batch) >= BUSY_FROM else GATHER_SECONDS
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
            self._fault, self._confirmed_at = None, time.monotonic()
        if published.error is not None:
            # Dropped, not kept: their rows fall due in a few seconds and the dispatcher publishes them.
            self._dropped(sum(len(each.ids) for each in published.unsent), published.error)

    def _publish_dead_letter(self, letters: list[DeadLetter]) -> None:
        for letter in letters:
            try:
                self._publisher.publish_dead_letter(letter)
            except self._publisher.errors as error:
                self._dropped(len(letters), error)
                return

    def _dropped(self, count: int, error: BaseException) -> None:
        self._fault, self._failed_at = f"{type(error).__name__}: {error}", time.monotonic()
        log.warning("messages_dropped", count=count, error=self._fault)
        self._stopping.wait(PAUSE_AFTER_FAULT_SECONDS)


def _can_share(message: Hint | DeadLetter) -> bool:
    return isinstance(message, Hint) and message.chunk > 1


_thread: PublisherThread | None = None
_thread_pid = 0
_lock = threading.Lock()


def _publisher_thread() -> PublisherThread:
    """The thread of this process, started at its first use: a fork inherits no threads."""
    global _thread, _thread_pid, _lock
    if _thread is not None and _thread_pid == os.getpid() and _thread.is_well():
        return _thread
    if _thread_pid not in (0, os.getpid()):
        _lock = threading.Lock()  # the inherited one may have been held when the process forked
    with _lock:
        if _thread is None or _thread_pid != os.getpid():
            _thread, _thread_pid = PublisherThread(), os.getpid()
            atexit.register(_thread.stop, FLUSH_SECONDS)
        _thread.start()
    return _thread


def dispatch_soon(*hints: Hint) -> None:
    """Publish hints in the background; never waits, never raises: a hint that is lost costs a few seconds, no task."""
    thread = _publisher_thread()
    dropped = sum(not thread.offer(hint) for hint in hints)
    if dropped:
        HINTS_PUBLISHED.labels("dropped").inc(dropped)
        log.warning("hints_dropped", dropped=dropped, error="the publisher's queue is full")


def publish_dead_letter(*letters: DeadLetter) -> None:
    """Show dead letters in the broker's queue for them; never waits, never raises: the ledger has the truth."""
    thread = _publisher_thread()
    for letter in letters:
        thread.offer(letter)


def broker_fault() -> str | None:
    """What keeps hints from the broker, or None. Takes two seconds at most, and nothing when a hint was just tried."""
    thread = _thread if _thread_pid == os.getpid() else None
    if thread is not None:
        if thread.has_just_published():
            return None
        # A broker that takes connections may still refuse what is published, a queue with other arguments for one.
        if fault := thread.recent_fault():
            return fault
    publisher = Publisher()
    try:
        publisher.connect()
    except publisher.errors as error:
        return f"{type(error).__name__}: {error}"
    finally:
        publisher.close()
    return None


def waiting_hints(queues: Iterable[str]) -> dict[str, int | None]:
    """How many hints wait in each queue; None for all when the broker does not answer. Takes seconds at most."""
    names = sorted(queues)
    publisher = Publisher()
    try:
        return {name: publisher.ready_count(name) for name in names}
    except publisher.errors as error:
        log.warning("queues_not_counted", error=f"{type(error).__name__}: {error}")
        return dict.fromkeys(names)
    finally:
        publisher.close()
