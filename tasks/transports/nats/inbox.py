"""Where the answers to pulls arrive: messages, and statuses that say why none comes."""

import asyncio
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from tasks.transports.nats.client import Client
from tasks.transports.nats.errors import NatsUnavailable

Deliver = Callable[[Msg], None]


class Inbox:
    """A subject for the answers to pulls. What comes after it was closed goes to `straggler`."""

    def __init__(self, client: Client, straggler: Deliver) -> None:
        self._client, self._straggler = client, straggler
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._is_closed = False
        self._subscription: Subscription | None = None
        self.subject = ""

    async def open(self) -> "Inbox":
        """Subscribe under a subject of its own."""
        self.subject = self._client.nc.new_inbox()
        try:
            self._subscription = await self._client.nc.subscribe(self.subject, cb=self._arrived)
        except (nats.errors.Error, OSError) as error:
            raise NatsUnavailable(str(error)) from error
        return self

    async def _arrived(self, message: Msg) -> None:
        if not self._is_closed:
            self._queue.put_nowait(message)
        elif status_of(message) is None:
            self._straggler(message)

    async def next(self, seconds: float) -> Msg:
        """The next answer. Raises TimeoutError."""
        async with asyncio.timeout(seconds):  # wait_for of Python 3.11 swallows a cancellation now and then
            return await self._queue.get()

    def close(self) -> None:
        """Take no more; what the server has sent already is still looked after."""
        if self._is_closed:
            return
        self._is_closed = True
        while not self._queue.empty():
            message = self._queue.get_nowait()
            if status_of(message) is None:
                self._straggler(message)
        if self._client.fault is None and self._subscription is not None:
            self._client.spawn(_drain(self._subscription))


async def _drain(subscription: Any) -> None:
    try:
        await subscription.drain()
    except (nats.errors.Error, OSError, AttributeError):  # the connection went meanwhile
        return


def status_of(message: Msg) -> str | None:
    """The status of an answer that is no message."""
    if message.data or not message.headers:
        return None
    status = message.headers.get("Status")
    return str(status) if status is not None else None


def reason_of(message: Msg) -> str:
    """A status as one line."""
    headers = message.headers or {}
    return f"{headers.get('Status')} {headers.get('Description', 'no such consumer')}"
