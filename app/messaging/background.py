"""What a process publishes behind its requests and handlers, and what it knows of the broker by that."""

import atexit
import os
import threading
from collections.abc import Callable, Iterable

import structlog

from app.messaging.messages import DeadLetter, Hint
from app.messaging.publisher import Publisher
from app.messaging.publisher_thread import FLUSH_SECONDS, PublisherThread
from app.observability.metrics import HINTS_PUBLISHED

log = structlog.get_logger(__name__)


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
