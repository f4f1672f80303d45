"""What all sinks share: one runs at a time, goes on after the last event it has taken, and misses and repeats none.

A message says that there is something new, and nothing of what a message says is believed: whoever can write to the
broker can write anything. All that a sink takes it reads from the ledger, from its own position on, where events are
numbered without a gap. So it does not matter either what was purged, pushed out of a full queue, lost with the broker.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from kombu import Connection, Message
from kombu.mixins import ConsumerMixin

from app import clock
from app.database import Session, commit_asynchronously, use_indexes
from app.messaging import NotASlice, Numbered, Publisher, newest_named
from app.services import events
from app.services.events import Page, Window, sinks
from app.services.events.sinks import Place
from app.services.leader import LeaderLock
from app.services.measuring import counters
from app.services.recovery.after_restore import SKIPPED_NUMBERS
from tasks.topology import UPDATES, sink_queue

log = structlog.get_logger(__name__)

PAGE = 1_000
PREFETCH = 3  # messages; each may be as large as the broker allows
BEAT_SECONDS = 2.0
PAUSE_SECONDS = 1.0


class Sink(Protocol):
    """What a sink does with events; `handle` runs in the transaction that notes how far it has come."""

    name: str

    def first_position(self, session: Session) -> int:
        """After which number it begins when it runs for the first time."""

    def resume(self, state: dict[str, Any] | None) -> None:
        """Make what is outside of the database as it was at the position where it goes on."""

    def handle(self, session: Session, taken: Sequence[Numbered], *, now: datetime) -> dict[str, Any] | None:
        """Take events, in order; returns the state to resume from after them."""


class SinkFailed(Exception):
    """A sink could not take events, a full disk for one. No OSError: the mixin would take that for the broker's."""


class _Stopped(Exception):
    """Asked to end while it waited for the broker."""


class SinkRunner(ConsumerMixin):
    """Runs one sink until it is stopped."""

    def __init__(
        self,
        sink: Sink,
        connection: Connection,
        publisher: Publisher,
        *,
        window: Window | None = None,
        now: Callable[[], datetime] = clock.utcnow,
    ) -> None:
        """`window` is shared by the sinks of a process, so that each event is read once for all of them."""
        self.connection = connection
        self._sink = sink
        self._publisher = publisher
        self._window = window or Window()
        self._now = now
        self._queue = sink_queue(sink.name)
        self._turn = LeaderLock(f"sink.{sink.name}")
        self._place = Place(position=0, state=None)
        self._stopping = threading.Event()
        self._waits = False
        self._beat_at = 0.0
        self._beat_position = -1
        self._refused, self._alarm = 0, ""
        self._node = f"{socket.gethostname()}:{os.getpid()}"

    @property
    def should_stop(self) -> bool:  # type: ignore[override]  # the mixin only reads it
        """Asked by the mixin in each round."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask it to end after the events in hand."""
        self._stopping.set()

    def run_until_stopped(self) -> None:
        """Wait for its turn, catch up, then follow the queue; begin again after trouble."""
        while not self.should_stop:
            try:
                if self._turn.is_ours or self._take_turn():
                    self.catch_up()
                    self.run()
                else:
                    self._stopping.wait(PAUSE_SECONDS)
            except _Stopped:
                break
            except Exception as error:  # noqa: BLE001 (whatever it was: it begins again where it was noted to be)
                self._give_up(error)
                self._stopping.wait(PAUSE_SECONDS)
        self._turn.end()
        self._publisher.close()

    def _take_turn(self) -> bool:
        if not self._turn.take(self._now()):
            if not self._waits:
                log.info("sink_waits_for_its_turn", sink=self._sink.name)
            self._waits = True
            return False
        self._waits = False
        with Session(self._turn.connection) as session, session.begin():
            first = self._sink.first_position(session)
            self._place = sinks.begin(session, self._sink.name, position=first)
            sinks.seen(session, self._sink.name, node=self._node, now=self._now())
            self._stay_in_the_ledger(session, events.newest_position(session))
        self._window.forget()
        self._sink.resume(self._place.state)
        log.info("sink_started", sink=self._sink.name, position=self._place.position)
        return True

    def _give_up(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {getattr(error, 'orig', None) or error}".strip()[:500]
        expected = isinstance(error, sa.exc.SQLAlchemyError | OSError | SinkFailed)
        log.warning("sink_interrupted", sink=self._sink.name, error=text, exc_info=not expected)
        if self._turn.is_ours and not isinstance(error, sa.exc.SQLAlchemyError):
            try:
                with Session(self._turn.connection) as session, session.begin():
                    sinks.failed(session, self._sink.name, text)
            except sa.exc.SQLAlchemyError as unrecorded:
                log.warning("sink_error_not_recorded", sink=self._sink.name, error=str(unrecorded))
        self._turn.end()

    # --- what it takes -----------------------------------------------------------------------------------------------

    def catch_up(self) -> int:
        """Take from the ledger all that comes after its position; returns how many events that were."""
        count = 0
        while not self.should_stop:
            page = self._read()
            if page.until == page.after:
                break
            self._take(page)
            count += len(page.events)
        return count

    def receive(self, message: Message) -> None:
        """One message of the queue: a reason to look, up to the number that it names."""
        body = message.body or b""
        try:
            named = newest_named(body)
        except NotASlice as error:
            self._suspect(f"a message of {len(body)} bytes could not be read: {error}")
            message.reject()
            return
        while self._place.position < named and not self.should_stop:
            page = self._read()
            if page.until == page.after:
                # Numbers are in the ledger before they are sent: it is of another database, of its past, or forged.
                self._suspect(f"a message named event {named}, and the newest is {self._place.position}")
                break
            self._take(page)
        message.ack()

    def _read(self) -> Page:
        return self._window.read_after(self._reading, self._place.position, limit=PAGE)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with Session(self._turn.connection) as session, session.begin():
            use_indexes(session)
            yield session

    def _take(self, page: Page) -> None:
        now, new = self._now(), page.events
        with Session(self._turn.connection) as session, session.begin():
            # What a crash of the database forgets here, it forgets together; the events are taken again.
            commit_asynchronously(session)
            state = self._handled(session, new, now) if new else self._place.state
            place = Place(position=page.until, state=state)
            sinks.advance(session, self._sink.name, place, event_at=new[-1].at if new else None, now=now)
            # A ledger that came out of a backup leaves out so many by itself.
            if 0 < page.missing < SKIPPED_NUMBERS - 1 and page.after > 0:
                text = f"{page.missing} events after number {page.after} are in the ledger no more, and were not taken"
                self._raise_alarm(session, text)
        self._place = place
        self._notify(len(new))

    def _handled(self, session: Session, new: Sequence[Numbered], now: datetime) -> dict[str, Any] | None:
        try:
            return self._sink.handle(session, new, now=now)
        except OSError as error:
            raise SinkFailed(str(error)) from error

    def _notify(self, count: int) -> None:
        body = {"sink": self._sink.name, "position": self._place.position, "events": count}
        try:
            self._publisher.notify(UPDATES, body)
        except self._publisher.errors as error:  # nobody waits for it: the next one says more
            log.debug("sink_notification_dropped", sink=self._sink.name, error=repr(error))

    # --- what cannot be right ----------------------------------------------------------------------------------------

    def _suspect(self, what: str) -> None:
        """Told with the next beat: somebody may send thousands."""
        self._refused += 1
        self._alarm = what

    def _tell_suspicions(self, session: Session) -> None:
        if self._refused:
            counters.add(session, {counters.MESSAGES_REFUSED: self._refused})
            self._raise_alarm(session, self._alarm, messages=self._refused)
            self._refused = 0

    def _stay_in_the_ledger(self, session: Session, newest: int) -> None:
        """Go back to the newest number from beyond it, where the sink would wait for what may never come."""
        if self._place.position <= newest:
            return
        self._raise_alarm(session, f"it stood at {self._place.position}, and the newest event is {newest}")
        sinks.go_back(session, self._sink.name, position=newest)
        self._place = Place(position=newest, state=self._place.state)

    def _raise_alarm(self, session: Session, text: str, **fields: Any) -> None:
        log.error("sink_alarm", sink=self._sink.name, what=text, **fields)
        sinks.alarm(session, self._sink.name, text, now=self._now())

    # --- the mixin's hooks -------------------------------------------------------------------------------------------

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        """One, for the sink's own queue."""
        return [consumer(queues=[self._queue], on_message=self.receive, prefetch_count=PREFETCH)]

    def on_iteration(self) -> None:
        """Every second at least: tell that it runs, and look whether messages were lost."""
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + BEAT_SECONDS
        with Session(self._turn.connection) as session, session.begin():
            commit_asynchronously(session)
            sinks.seen(session, self._sink.name, node=self._node, now=self._now())
            newest = events.newest_position(session)
            self._stay_in_the_ledger(session, newest)
            self._tell_suspicions(session)
        if newest > self._place.position and self._beat_position == self._place.position:
            self.catch_up()  # nothing arrived since the last beat, and there is something
        self._beat_position = self._place.position

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Compressed, for one. The mixin's own would write all of the body into the log."""
        self._suspect(f"a message could not be unpacked: {exc!r}"[:500])
        message.reject()

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        """The broker is away; the mixin tries again."""
        log.warning("sink_waits_for_broker", sink=self._sink.name, error=repr(exc), seconds=interval)
        if self.should_stop:
            raise _Stopped
        self.on_iteration()

    def create_connection(self) -> Connection:
        """A connection that is tried again every other second for as long as it takes."""
        connection = self.connection.clone()
        ensure = connection.ensure_connection

        seconds: Any = 0.5  # the stubs know whole ones only

        def retry_while_unavailable(errback: Any = None, max_retries: Any = None, **_: Any) -> Any:
            return ensure(errback, max_retries, interval_start=seconds, interval_step=seconds, interval_max=2)

        retry: Any = retry_while_unavailable
        connection.ensure_connection = retry  # type: ignore[method-assign]  # the mixin calls it
        return connection
