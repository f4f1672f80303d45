"""The thread that polls: it waits for slow clients, so that no other thread has to."""

import errno
import gc
import selectors
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn.errors import ConfigError

from app.server import answers
from app.server.answering import READ_BYTES, Answering
from app.server.connection import Connection
from app.server.connection_counts import COUNTS
from app.server.deadlines import DeadlineSocket
from app.server.pressure import hang_up_on_the_slowest, largest_of_the_many, oldest_of_the_many
from app.server.request import Incoming, Kind, Unacceptable
from app.server.threads_by_caller import ThreadsByCaller
from app.shares import THREADS, Share

SWEEP_SECONDS = 0.5
LINGER_SECONDS = 2.0  # for a client that has not read its last answer yet
LARGE_WAIT_SECONDS = 30.0  # for a thread that reads a large body
RESERVED_CONNECTIONS = 64  # past worker_connections, for health
MAX_READ_AHEAD = 64 * 1024 * 1024  # bytes of requests that are not whole yet
LARGE_SHARE = 4  # a quarter of the threads reads large bodies


class Threads(Answering):
    """gunicorn's gthread with three habits more.

    - The thread that polls reads requests until they are whole, with deadlines: a slow client holds no thread. It also
      lingers with connections that are being closed, and lets go those that are in the way when there are too many.
    - Health is answered by threads of its own. No address and no credential has all of the others.
    - A thread stays for a moment with a connection that has been answered. A client that sends one request after the
      other has its next one read by the same thread: to give the connection back and to get it again costs a fifth of
      the processor time of a submission (decision 0017). No thread stays while a connection waits for one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most_connections = self.worker_connections
        self.worker_connections += RESERVED_CONNECTIONS
        # The polling thread alone looks at this and the rest.
        self._by_caller = ThreadsByCaller(self.cfg.threads)
        self._large = Share(max(self.cfg.threads // LARGE_SHARE, 1))
        self._waiting_large: deque[Connection] = deque()
        self._reading: dict[Connection, None] = {}  # in the order they began
        self._lingering: deque[Connection] = deque()
        self._swept_at = 0.0
        self._process: int = self.age  # type: ignore[attr-defined]  # gunicorn numbers them; its stubs leave it out
        self._proxies: tuple[str, ...] = ()
        self._alone: dict[Kind, ThreadPoolExecutor] = {}

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Raises ConfigError for what would make a thread wait for a client."""
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ConfigError(
                "app.server.Threads speaks no TLS, because a slow handshake would hold a thread: remove certfile and "
                "keyfile, and put nginx in front (deploy/nginx/nginx.conf)."
            )

    def load_wsgi(self) -> None:
        """Load the application; what it consists of is never garbage, and not looked at again for 0.2 s at a time."""
        gc.disable()  # little of what is loaded is garbage; looking for it takes a sixth of the start
        super().load_wsgi()
        # gunicorn looks settings up by two calls each, dozens of times in a request; here none changes any more.
        vars(self.cfg).update({name: setting.get() for name, setting in self.cfg.settings.items()})
        self._proxies = getattr(self.wsgi, "extensions", {}).get("taskledger.proxies", ())
        THREADS.are(self.cfg.threads)
        self._alone = {
            Kind.LIVE: ThreadPoolExecutor(max_workers=1, thread_name_prefix="live"),
            Kind.HEALTH: ThreadPoolExecutor(max_workers=2, thread_name_prefix="health"),
        }
        gc.collect()
        gc.freeze()
        gc.enable()

    def accept(self, listener: Any) -> None:
        """Accept a connection, and read what it has sent already."""
        COUNTS.yield_to_others(self._process, self.nr_conns)
        if self._accept_one(listener):
            COUNTS.say(self._process, self.nr_conns)

    def _accept_one(self, listener: Any) -> bool:
        """The same; false where there is none."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # no descriptor is left: whoever only rests gives one back
                self.log.warning("No connection can be accepted: %s", error)
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED, errno.EINTR):
                raise
            return error.errno in (errno.ECONNABORTED, errno.EINTR)
        conn = Connection(self.cfg, DeadlineSocket.taken_over(accepted), address, listener.getsockname())
        self.nr_conns += 1
        if self.nr_conns > self._most_connections:
            self._make_room()
        self._read_on(conn)
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections or not. Who stops does not listen any more.

        gunicorn would listen until its last request is answered: who connects meanwhile would wait for nothing, and be
        cut off in the end. So whoever has connected is accepted still, and whoever comes later is refused at once, and
        asks another process.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            while self._accept_one(listener):
                pass
            listener.close()

    def on_client_socket_readable(self, conn: Connection, client: Any) -> None:
        """A connection that rested between two requests has sent something, or has ended."""
        self.keepalived_conns.remove(conn)
        self._unwatch(conn)
        self._read_on(conn)

    def finish_request(self, conn: Connection, fs: "Future[bool]") -> None:
        """A thread has answered: rest, go on with what was sent already, or part."""
        self._answering.discard(conn)
        self._by_caller.leave(conn.caller)
        if conn.has_large_place:
            conn.has_large_place = False
            self._large.leave(conn.caller)
        if self._held_back or self._waiting_large:
            self._start_those_who_may()
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._part(conn)
            return
        conn.take_back()
        if conn.incoming is not None:
            self._read_on(conn)
            return
        conn.set_timeout()
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER_SECONDS)
        self.keepalived_conns.append(conn)
        self._watch(conn, self.on_client_socket_readable)

    def murder_pending(self) -> None:
        """Look, twice a second at most, whose time has come. gunicorn calls this after each round of events."""
        now = time.monotonic()
        if now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        COUNTS.say(self._process, self.nr_conns)
        for conn in [each for each in self._reading if each.deadline(now, is_stopping=not self.alive) <= now]:
            late = conn.incoming.late() if conn.incoming is not None else None
            self._refuse(conn, late) if late else self._drop(conn)
        while self._lingering and self._lingering[0].timeout <= now:
            self._drop(self._lingering[0])
        while self._waiting_large and self._waiting_large[0].timeout <= now:
            self._refuse(self._waiting_large.popleft(), _busy("No thread was free for a body of this size"))
        hang_up_on_the_slowest(self._answering, threads=self.cfg.threads)

    def _read_on(self, conn: Connection, _: Any = None) -> None:
        """Read what is there, and decide: a thread, an answer, or wait for more."""
        now, is_new = time.monotonic(), conn.incoming is None
        incoming = conn.incoming or conn.begin(now)
        try:
            if is_new or conn.is_watched:
                conn.read(incoming, READ_BYTES, now)
            kind = incoming.kind(now)
        except BlockingIOError:
            kind = None
        except Unacceptable as refusal:
            self._refuse(conn, refusal)
            return
        except OSError:  # the client has left
            self._drop(conn)
            return
        if kind is not None:
            self._stop_reading(conn)
            self._hand_over(conn, incoming, kind)
            return
        self._reading.setdefault(conn)
        conn.say_continue()
        self._watch(conn, self._read_on)
        if len(incoming.arrived) > READ_BYTES:
            self._keep_memory_small()

    def _hand_over(self, conn: Connection, incoming: Incoming, kind: Kind) -> None:
        conn.caller = incoming.caller(conn.address, self._proxies)
        if kind in self._alone:
            conn.hand_on()
            future = self._alone[kind].submit(self._handle_alone, conn)
            self._answered_later(conn, future)
        elif self.nr_conns > self._most_connections:
            self._refuse(conn, _busy("This process has as many connections as it may"))
        elif kind is Kind.LARGE:
            conn.timeout = time.monotonic() + LARGE_WAIT_SECONDS
            self._waiting_large.append(conn)
            self._start_those_who_may()
        elif self._by_caller.may_take(conn.caller):
            self.enqueue_req(conn)
        else:
            self._held_back.setdefault(conn.caller, deque()).append(conn)

    def _start_those_who_may(self) -> None:
        for conn in [each for each in self._waiting_large if self._large.take(each.caller)]:
            self._waiting_large.remove(conn)
            conn.has_large_place = True
            self.enqueue_req(conn)
        while (caller := next(filter(self._by_caller.may_take, self._held_back), None)) is not None:
            theirs = self._held_back.pop(caller)
            self.enqueue_req(theirs.popleft())
            if theirs:
                self._held_back[caller] = theirs  # behind all others

    def enqueue_req(self, conn: Connection) -> None:
        """Give a connection to the threads."""
        conn.hand_on()
        self._waiting.append(conn)
        self._answered_later(conn, self.tpool.submit(self.handle, conn))

    def _answered_later(self, conn: Connection, future: "Future[bool]") -> None:
        self._by_caller.take(conn.caller)
        self._answering.add(conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _make_room(self) -> None:
        victim = oldest_of_the_many((*self.keepalived_conns, *self._reading))
        if victim is None:
            return
        if victim not in self._reading:
            self.keepalived_conns.remove(victim)
        self._drop(victim)

    def _keep_memory_small(self) -> None:
        victim = largest_of_the_many(self._reading, most_bytes=MAX_READ_AHEAD)
        if victim is not None:
            self._refuse(victim, _busy("Too many requests from this address are half sent"))

    def _refuse(self, conn: Connection, refusal: Unacceptable) -> None:
        self.log.info("Refused a request from %s: %s", conn.address, refusal.code)
        try:
            conn.sock.send_now(answers.as_bytes(refusal.status, refusal.code, refusal.detail))
        except OSError:  # it has left, or reads nothing
            self._drop(conn)
        else:
            self._part(conn)

    def _part(self, conn: Connection) -> None:
        """Close, but let the client read what it was sent: unread input would make the kernel take that away."""
        self._stop_reading(conn)
        if not conn.say_goodbye():
            self._drop(conn)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self._lingering.append(conn)
        self._watch(conn, self._listen_to_the_end)

    def _listen_to_the_end(self, conn: Connection, _: Any = None) -> None:
        try:
            conn.ignore(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self._stop_reading(conn)
        if conn in self._lingering:
            self._lingering.remove(conn)
        self._unwatch(conn)
        self.nr_conns -= 1
        conn.close()

    def _stop_reading(self, conn: Connection) -> None:
        self._reading.pop(conn, None)
        self._unwatch(conn)

    def _watch(self, conn: Connection, callback: Any) -> None:
        if not conn.is_watched:
            conn.is_watched = True
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def _unwatch(self, conn: Connection) -> None:
        if conn.is_watched:
            conn.is_watched = False
            self.poller.unregister(conn.sock)


def _busy(what: str) -> Unacceptable:
    return Unacceptable(503, "busy", f"{what}; try again in a few seconds.")
