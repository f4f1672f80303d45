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
from app.messaging.publisher import Publisher

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0  # at exit
QUEUE_LENGTH = 20_000  # ids; what does not fit is found by the dispatcher
PAUSE_AFTER_FAULT_SECONDS = 1.0


class PublisherThread:
    """Publishes what requests and handlers hand over, so that none of them ever waits for the broker."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Hint | DeadLetter] = queue.Queue(maxsize=QUEUE_LENGTH)
        self._stopping = threading.Event()
        self._publisher = Publisher()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()
        self.confirmed_at = 0.0  # time.monotonic()
        self.fault: str | None = None

    def offer(self, message: Hint | DeadLetter) -> bool:
        """Hand a message over; False when the queue is full: then the dispatcher finds the row."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            return False
        return True

    def stop(self, seconds: float) -> None:
        """Publish what waits, for so long at most, and end the thread."""
        self._stopping.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._waiting.empty()):
            batch = self._take()
            if batch:
                self._publish(coalesce(each for each in batch if isinstance(each, Hint)))
                self._bury([each for each in batch if isinstance(each, DeadLetter)])
        self._publisher.close()

    def _take(self) -> list[Hint | DeadLetter]:
        """What has arrived while the last confirmation was awaited."""
        try:
            batch = [self._waiting.get(timeout=0.2)]
        except queue.Empty:
            return []
        while len(batch) < QUEUE_LENGTH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch

    def _publish(self, hints: list[Hint]) -> None:
        for position, hint in enumerate(hints):
            try:
                self._publisher.publish(hint)
            except self._publisher.errors as error:
                # Dropped, not kept: their rows fall due in a few seconds and the dispatcher publishes them.
                self._dropped(sum(len(each.ids) for each in hints[position:]), error)
                return
            self.fault, self.confirmed_at = None, time.monotonic()

    def _bury(self, letters: list[DeadLetter]) -> None:
        for letter in letters:
            try:
                self._publisher.bury(letter)
            except self._publisher.errors as error:
                self._dropped(len(letters), error)
                return

    def _dropped(self, count: int, error: BaseException) -> None:
        self.fault = f"{type(error).__name__}: {error}"
        log.warning("messages_dropped", count=count, error=self.fault)
        self._stopping.wait(PAUSE_AFTER_FAULT_SECONDS)


_thread: PublisherThread | None = None
_thread_pid = 0
_lock = threading.Lock()


def _publisher_thread() -> PublisherThread:
    """The thread of this process, started at its first use: a fork inherits no threads."""
    global _thread, _thread_pid, _lock
    if _thread is not None and _thread_pid == os.getpid():
        return _thread
    if _thread_pid not in (0, os.getpid()):
        _lock = threading.Lock()  # the inherited one may have been held when the process forked
    with _lock:
        if _thread is None or _thread_pid != os.getpid():
            _thread, _thread_pid = PublisherThread(), os.getpid()
            atexit.register(_thread.stop, FLUSH_SECONDS)
    return _thread


def dispatch_soon(*hints: Hint) -> None:
    """Publish hints in the background; never waits, never raises: a hint that is lost costs a few seconds, no task."""
    thread = _publisher_thread()
    dropped = sum(not thread.offer(hint) for hint in hints)
    if dropped:
        log.warning("hints_dropped", dropped=dropped, error="the publisher's queue is full")


def bury(*letters: DeadLetter) -> None:
    """Show dead letters in the broker's queue for them; never waits, never raises: the ledger has the truth."""
    thread = _publisher_thread()
    for letter in letters:
        thread.offer(letter)


def broker_fault() -> str | None:
    """What keeps hints from the broker, or None. Takes two seconds at most, and nothing when a hint just went out."""
    thread = _thread if _thread_pid == os.getpid() else None
    if thread is not None and thread.fault is None and time.monotonic() - thread.confirmed_at < FLUSH_SECONDS:
        return None
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
