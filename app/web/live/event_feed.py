"""Live events in this process: one thread reads each of them once and hands it to the streams that want it."""

import contextlib
import json
import queue
import select
import socket
import threading
import time
from collections.abc import Sequence

import psycopg2
import sqlalchemy as sa
from flask import Flask, current_app

from app.clock import rfc_3339
from app.config import Settings
from app.database import Session
from app.observability.log import get_logger
from app.services import events
from app.services.events import EventFilter, Labels, Numbered, Page
from app.shares import Caller, Share

log = get_logger(__name__)

PAGE = 1_000
POLL_SECONDS = 1.0  # whatever became of a notification, nobody waits longer
MAX_WAITING = 5_000  # events that a client may be behind before it is let go
PAUSE_AFTER_FAULT_SECONDS = 0.5
NOBODY = Caller(account=None, address="")
MAX_SEND_SECONDS = 30.0  # for what one client is sent at once; who does not take it is hung up on


class Client:
    """One stream: what it wants, after which number, and what waits to be sent to it."""

    def __init__(
        self,
        criteria: EventFilter,
        *,
        after: int = 0,
        who: Caller = NOBODY,
        connection: socket.socket | None = None,
    ) -> None:
        self.criteria = criteria
        self.who = who
        self.after = after
        self.is_too_slow = False
        self.sending_since: float | None = None  # by time.monotonic(), while its thread is busy with a piece
        self._connection = connection
        self._arrived: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._waiting = 0  # changed with the feed's lock held, read by anybody

    def hand(self, count: int, text: bytes) -> None:
        """Give it events. One that does not take what it was given is let go: nothing here grows without bound."""
        if self._waiting + count > MAX_WAITING:
            self.is_too_slow = True
            return
        self._waiting += count
        self._arrived.put((count, text))

    def take(self, seconds: float) -> tuple[int, bytes] | None:
        """What has arrived, or None after so long."""
        try:
            return self._arrived.get(timeout=seconds)
        except queue.Empty:
            return None

    def took(self, count: int) -> None:
        """So many were sent."""
        self._waiting -= count

    def is_stuck(self, now: float) -> bool:
        """Whether its thread waits, perhaps for ever, for somebody who does not read."""
        since = self.sending_since
        return since is not None and (self.is_too_slow or now - since > MAX_SEND_SECONDS)

    def hang_up(self) -> None:
        """End its connection, which also wakes the thread that waits to send something."""
        if self._connection is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                # Not SSLSocket's own: that one would also take away what the other thread is writing through.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    @property
    def has_nothing(self) -> bool:
        """Whether it has sent all that it was given."""
        return self._waiting == 0


class Feed:
    """The streams of this process."""

    def __init__(self, engine: sa.Engine, *, most: int) -> None:
        self._engine = engine
        self._share = Share(most)
        self._clients: set[Client] = set()
        self._position = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def join(
        self,
        criteria: EventFilter,
        after: int | None = None,
        *,
        who: Caller = NOBODY,
        connection: socket.socket | None = None,
    ) -> tuple[Client, int] | None:
        """A new stream that is given every event after the number beside it; None when there are too many.

        `who` is whose it is; `after` the number that its client goes on after: what no event has yet is
        ignored, and it begins now.
        """
        with self._changed:
            if not self._share.take(who):
                return None
            try:
                client = Client(criteria, after=self._begin(after), who=who, connection=connection)
            except BaseException:
                self._share.leave(who)
                raise
            self._clients.add(client)
            self._start()
            self._changed.notify()
            return client, self._position

    def _begin(self, after: int | None) -> int:
        if not self._clients:  # nobody was listening: begin at the end
            with Session(self._engine) as session:
                self._position = events.newest_position(session)
        if after is None or after <= self._position:
            return self._position if after is None else after
        # Another process may have shown its client more than this one has read yet: none of that comes again.
        with Session(self._engine) as session:
            return after if after <= events.newest_position(session) else self._position

    def leave(self, client: Client) -> None:
        """A stream has ended."""
        with self._changed:
            if client in self._clients:
                self._clients.remove(client)
                self._share.leave(client.who)

    def passed(self, client: Client) -> int | None:
        """Up to which number a stream has sent all that it wanted; None while it has something to send."""
        with self._changed:
            return max(self._position, client.after) if client.has_nothing else None

    def took(self, client: Client, count: int) -> None:
        """A stream has sent so many events."""
        with self._changed:
            client.took(count)

    def _start(self) -> None:
        # Not before the first stream: a server that forks would leave the thread behind.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="event-feed", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wait_for_clients()
            self._let_go()
            try:
                self._follow()
            except (sa.exc.SQLAlchemyError, psycopg2.Error, OSError) as error:
                # The streams stay: their numbers go on where they were once the database answers again.
                log.warning("event_feed_interrupted", streams=len(self._clients), error=str(error).strip())
                time.sleep(PAUSE_AFTER_FAULT_SECONDS)

    def _wait_for_clients(self) -> None:
        with self._changed:
            while not self._clients:
                self._changed.wait()

    def _follow(self) -> None:
        connection = self._engine.raw_connection()
        listener = connection.driver_connection
        connection.detach()  # it only listens; no pool misses it
        if listener is None:
            raise OSError("the pool gave no connection")
        try:
            listener.autocommit = True
            with listener.cursor() as cursor:
                cursor.execute(f"LISTEN {events.CHANNEL}")
            while self._clients:
                while self._hand_out_page():
                    pass
                self._let_go()
                if select.select([listener], [], [], POLL_SECONDS)[0]:
                    listener.poll()
                    listener.notifies.clear()
        finally:
            listener.close()

    def _let_go(self) -> None:
        # Their threads cannot: they wait in the middle of sending.
        now = time.monotonic()
        for client in list(self._clients):
            if client.is_stuck(now):
                client.hang_up()

    def _hand_out_page(self) -> bool:
        """Read what is new, and give it to whoever wants it; whether there is probably more."""
        with Session(self._engine) as session:
            page = events.read_after(session, self._position, limit=PAGE)
            wants_labels = any(client.criteria.labels for client in list(self._clients))
            labels = events.labels_of(session, page.events) if wants_labels and page.events else {}
        with self._changed:
            if page.after == self._position:  # nobody came first after all had left, and began elsewhere
                self._hand_out(page, labels)
                self._position = page.until
        return page.until > page.after and len(page.events) >= PAGE

    def _hand_out(self, page: Page, labels: Labels) -> None:
        texts: dict[int, bytes] = {}
        for client in self._clients:
            matching = [
                event
                for event in page.events
                if event.position > client.after and client.criteria.matches(event, labels)
            ]
            if matching:
                client.hand(len(matching), b"".join(_text(event, texts) for event in matching))


def _text(event: Numbered, texts: dict[int, bytes]) -> bytes:
    """The event as it is sent, put together once for all streams."""
    text = texts.get(event.position)
    if text is None:
        text = texts[event.position] = as_text([event])
    return text


def as_text(shown: Sequence[Numbered]) -> bytes:
    """Events in the form of text/event-stream."""
    return "".join(
        f"id: {event.position}\nevent: task.{event.status.lower()}\ndata: {_data(event)}\n\n" for event in shown
    ).encode()


def _data(event: Numbered) -> str:
    return json.dumps(
        {
            "task_id": str(event.task_id),
            "type": event.type,
            "status": event.status,
            "previous_status": event.previous_status,
            "attempt": event.attempt,
            "at": rfc_3339(event.at),
        },
        separators=(",", ":"),
    )


def feed() -> Feed:
    """The feed of this application."""
    registered: Feed = current_app.extensions["taskledger.feed"]
    return registered


def register(app: Flask, settings: Settings) -> None:
    """Give an application its feed."""
    engine = app.extensions["taskledger.autocommit"]
    app.extensions["taskledger.feed"] = Feed(engine, most=settings.max_streams)
