"""One connection to NATS with JetStream. Its coroutines run on the loop's thread (see loop.py)."""

import asyncio
import contextlib
import json
import logging
import random
import weakref
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg

from tasks.transports.nats import loop
from tasks.transports.nats.address import Address, Server
from tasks.transports.nats.errors import NatsUnavailable, QueueRefused, explain, no_jetstream, refusal

log = logging.getLogger(__name__)

ACK, NAK, IN_PROGRESS, TERMINATE = b"+ACK", b"-NAK", b"+WPI", b"+TERM"
CLOSE_SECONDS = 1.0
NOTICE_SECONDS = 1.0
RENEWALS_IN_ACK_WAIT = 3
DOMAIN_DOTS = 10
"""$JS.ACK.<stream>.<consumer>.<deliveries>.<place>… has fewer dots unless the server names its domain and account."""
JETSTREAM_ABSENT = (nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError)


@dataclass(frozen=True, slots=True)
class Held:
    """A message that was delivered to us and is not settled yet."""

    reply: str
    """The subject that its settlement is published to."""
    data: bytes
    deliveries: int
    published_at: datetime
    """By the server's clock."""

    @property
    def place(self) -> str:
        """Where it stands in its stream: the same for each delivery."""
        return self.reply.split(".")[5 if self.reply.count(".") < DOMAIN_DOTS else 7]


class Client:
    """Connected once, and never again: whoever uses it learns from `fault` that a new one is needed."""

    def __init__(self, address: Address, *, connect_seconds: float, name: str, on_fault: Callable[[], None]) -> None:
        self.address = address
        self.options = address.options
        self.fault: str | None = None
        self.is_abandoned = False
        """Whether the connection belongs to the process that this one was forked from."""
        self.held: dict[str, Held] = {}
        """By delivery tag; renewed until they are settled."""
        self._connect_seconds = connect_seconds
        self._name = name
        self._on_fault = on_fault
        self._nc: Connection | None = None
        self.where = ""
        """Host and port of the server."""
        self._background: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        _clients.add(self)

    @property
    def nc(self) -> Connection:
        """The connection. Raises NatsUnavailable when it is gone."""
        self._notice()
        if self.fault is not None or self._nc is None:
            raise NatsUnavailable(self.fault or "not connected to NATS")
        return self._nc

    async def connect(self) -> None:
        """Connect to the first server that answers. Raises NatsUnavailable with one line that says what is wrong."""
        servers = list(self.address.servers)
        random.shuffle(servers)
        for last, server in enumerate(servers, 1):
            try:
                await self._connect_to(server)
                break
            except NatsUnavailable:
                if last == len(servers):
                    raise
        await self._check_jetstream()
        self.spawn(self._renew_for_ever())
        self.spawn(self._notice_for_ever())

    async def _connect_to(self, server: Server) -> None:
        errors: list[Exception] = []

        async def on_error(error: Exception) -> None:
            errors.append(error)

        token = server.user if server.password is None else None
        credentials: dict[str, Any] = {"user_credentials": self.options.credentials} if self.options.credentials else {}
        connection = Connection()
        try:
            tls = self.address.tls_context()
            await asyncio.wait_for(
                connection.connect(
                    f"nats://{server.where}",
                    name=self._name,
                    user=None if token else server.user,
                    password=server.password,
                    token=token,
                    tls=tls,
                    tls_hostname=server.host if tls else None,
                    allow_reconnect=False,  # Celery reconnects; a connection that came back by itself would hide losses
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=max(1, round(self._connect_seconds)),
                    ping_interval=max(1, round(self.options.ping_interval)),
                    max_outstanding_pings=2,
                    error_cb=on_error,
                    closed_cb=self._closed,
                    **credentials,
                ),
                self._connect_seconds + 1,
            )
        except (OSError, nats.errors.Error, ImportError) as error:
            _hang_up(connection)
            cause = errors[-1] if isinstance(error, nats.errors.NoServersError) and errors else error
            raise NatsUnavailable(explain(cause, server.where)) from error
        self._nc, self.where = connection, server.where

    async def _check_jetstream(self) -> None:
        try:
            await self.ask("INFO")
        except NatsUnavailable:
            await self.close()
            raise

    async def _closed(self) -> None:
        self._fail(f"the connection to NATS at {self.where} was lost")

    def _notice(self) -> None:
        """nats-py tells nobody of a connection that is lost in the moment in which something is to be sent on it."""
        if self._nc is not None and self._nc.is_closed:
            self._fail(f"the connection to NATS at {self.where} was lost")

    async def _notice_for_ever(self) -> None:
        while self.fault is None:
            await asyncio.sleep(NOTICE_SECONDS)
            self._notice()

    def _fail(self, why: str) -> None:
        if self.fault is None:
            self.fault = why
            self.held.clear()
            self._on_fault()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside everything else, until it ends or the connection does."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def ask(self, subject: str, **body: Any) -> dict[str, Any]:
        """A request of JetStream's API, with its JSON answer.

        Raises nats.js.errors.NotFoundError, QueueRefused for what the server does not do, and NatsUnavailable.
        """
        data = json.dumps(body).encode() if body else b""
        try:
            message = await self.nc.request(f"$JS.API.{subject}", data, timeout=self.options.request_timeout)
        except JETSTREAM_ABSENT as error:
            raise no_jetstream(self.where) from error
        except (nats.errors.Error, OSError) as error:
            raise NatsUnavailable(explain(error, self.where)) from error
        answer: dict[str, Any] = json.loads(message.data)
        if fault := answer.get("error"):
            raise refusal(fault, self.where)
        return answer

    async def publish(
        self, subject: str, data: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish into a stream and wait until it has the message; twice with one id, so that it is kept once.

        Raises nats.js.errors.NoStreamResponseError when no stream takes it, QueueRefused and NatsUnavailable.
        """
        seconds, all_headers = self.options.publish_timeout / 2, {**(headers or {}), "Nats-Msg-Id": message_id}
        for is_last in (False, True):
            try:
                answer = await self.nc.request(subject, data, timeout=seconds, headers=all_headers)
                break
            except nats.errors.TimeoutError as error:
                if is_last:
                    raise NatsUnavailable(explain(error, self.where)) from error
            except nats.errors.NoRespondersError as error:
                raise nats.js.errors.NoStreamResponseError from error
            except nats.errors.MaxPayloadError as error:
                raise QueueRefused(f"the message is larger than this NATS server takes: {len(data)} bytes") from error
            except (nats.errors.Error, OSError) as error:
                raise NatsUnavailable(explain(error, self.where)) from error
        confirmed: dict[str, Any] = json.loads(answer.data)
        if fault := confirmed.get("error"):
            raise refusal(fault, self.where)

    async def send(self, subject: str, data: bytes = b"", *, reply: str = "") -> None:
        """Publish to whoever listens now. Raises NatsUnavailable."""
        try:
            await self.nc.publish(subject, data, reply=reply)
        except nats.errors.MaxPayloadError as error:
            raise QueueRefused(f"the message is larger than this NATS server takes: {len(data)} bytes") from error
        except (nats.errors.Error, OSError) as error:
            raise NatsUnavailable(explain(error, self.where)) from error

    def settle(self, tag: str, how: bytes) -> None:
        """Acknowledge or give back what is held under this tag; from any thread, and without waiting.

        A settlement that gets lost with the connection means another delivery, never a lost message.
        """
        held = self.held.pop(tag, None)
        if held is not None and self.fault is None:
            loop.soon(self._settle_soon, held.reply, how)

    def _settle_soon(self, reply: str, how: bytes) -> None:
        if self.fault is None:
            task = self.spawn(self.quietly(self._hand_back(reply) if how == NAK else self.send(reply, how)))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _hand_back(self, reply: str) -> None:
        """Until the server says that it has it again; else who asks at once might find nothing."""
        try:
            await self.nc.request(reply, NAK, timeout=CLOSE_SECONDS)
        except (nats.errors.Error, OSError):
            return  # it comes back after ack_wait

    async def settled(self) -> None:
        """Wait until the server has been told of everything that was settled; a second at most."""
        if self._settling:
            await asyncio.wait(list(self._settling), timeout=CLOSE_SECONDS)

    async def give_back(self, message: Msg) -> None:
        """Hand a message that was never delivered here to somebody else."""
        await self.quietly(self.send(message.reply, NAK))

    async def quietly(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do it unless the connection is gone; then it makes no difference any more."""
        with contextlib.suppress(NatsUnavailable):
            await doing

    async def _renew_for_ever(self) -> None:
        """What is held stays ours as long as the connection lives, however long its work takes."""
        while self.fault is None:
            await asyncio.sleep(self.options.ack_wait / RENEWALS_IN_ACK_WAIT)
            for held in list(self.held.values()):
                await self.quietly(self.send(held.reply, IN_PROGRESS))

    async def close(self) -> None:
        """Send what waits to be sent, and end the connection. Never raises."""
        await self.settled()
        connection, self._nc = self._nc, None
        if self.fault is None:
            self.fault = "the connection to NATS was closed"
        ours = asyncio.current_task()
        for task in [each for each in self._background if each is not ours]:
            task.cancel()
        if connection is not None and not connection.is_closed:
            with contextlib.suppress(nats.errors.Error, OSError):
                await asyncio.wait_for(connection.close(), CLOSE_SECONDS)

    def abandon(self) -> None:
        """In a fork: the connection is the parent's. Only our copy of its socket goes, without a word on it."""
        self.is_abandoned = True
        self._fail("the connection to NATS belongs to the process that this one was forked from")
        transport = getattr(getattr(self._nc, "_transport", None), "_io_writer", None)
        connection = getattr(getattr(transport, "transport", None), "_sock", None)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


def _hang_up(connection: Connection) -> None:
    """Close the socket of an attempt that failed: nats-py leaves it open."""
    transport = getattr(connection, "_transport", None)
    if transport is not None:
        transport.close()


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


def _abandon_all() -> None:
    for client in list(_clients):
        client.abandon()


loop.after_fork(_abandon_all)
