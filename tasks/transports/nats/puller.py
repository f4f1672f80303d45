"""Brings the messages of one durable queue to a channel, the most urgent first, as far as its credit goes.

While messages wait it asks level after level for as many as there is credit for. When none waits, one pull per level
lingers at the server, and the first message ends them all: nothing is asked for again and again. What a lingering pull
of another level brings meanwhile is taken on credit, or handed back. Lingering takes no credit: the queues of a channel
share it, and an idle one must not keep it from the others. It ends when the others have spent all of it.

A server (2.9) that wants to deliver again what was handed back, and finds only pulls whose inbox has gone, forgets that
message until ack_wait is over, and delivers the last one of the stream a second time. So it is made to drop such pulls
before anything is handed back.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from tasks.transports.nats.client import Client
from tasks.transports.nats.credit import Credit
from tasks.transports.nats.errors import NatsUnavailable, QueueRefused
from tasks.transports.nats.streams import SECOND, Streams, WorkQueue

log = logging.getLogger(__name__)

BATCH = 100
LINGER_SECONDS = 30
ANSWER_SECONDS = 5.0
MAX_PAUSE_SECONDS = 5.0
SPENT_SECONDS = 0.1  # a puller that asks has all credit for as long as the answer takes
NO_MESSAGES, EXPIRED = "404", "408"

Deliver = Callable[[Msg], None]


class ConsumerGone(Exception):
    """The stream or its consumer was deleted behind our back."""


class _Inbox:
    """A subject for the answers to pulls. What comes after it was closed goes to `straggler`."""

    def __init__(self, client: Client, straggler: Deliver) -> None:
        self._client, self._straggler = client, straggler
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._is_closed = False
        self._subscription: Subscription | None = None
        self.subject = ""

    async def open(self) -> "_Inbox":
        self.subject = self._client.nc.new_inbox()
        try:
            self._subscription = await self._client.nc.subscribe(self.subject, cb=self._arrived)
        except (nats.errors.Error, OSError) as error:
            raise NatsUnavailable(str(error)) from error
        return self

    async def _arrived(self, message: Msg) -> None:
        if not self._is_closed:
            self._queue.put_nowait(message)
        elif _status(message) is None:
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
            if _status(message) is None:
                self._straggler(message)
        if self._client.fault is None and self._subscription is not None:
            self._client.spawn(_drain(self._subscription))


async def _drain(subscription: Any) -> None:
    try:
        await subscription.drain()
    except (nats.errors.Error, OSError, AttributeError):  # the connection went meanwhile
        return


def _status(message: Msg) -> str | None:
    """The status of an answer that is no message."""
    if message.data or not message.headers:
        return None
    status = message.headers.get("Status")
    return str(status) if status is not None else None


class Puller:
    """One task on the loop, from `start` to `stop`."""

    def __init__(self, client: Client, streams: Streams, queue: WorkQueue, credit: Credit, deliver: Deliver) -> None:
        self._client, self._streams, self._queue = client, streams, queue
        self._credit, self._deliver = credit, deliver
        self._is_stopping = False
        self._has_lingered = False
        self._inbox: _Inbox | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = self._client.spawn(self._run())

    async def stop(self) -> None:
        """End; what is on its way to us is handed back."""
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=ANSWER_SECONDS)
        if self._inbox is not None:
            self._inbox.close()
        if self._has_lingered:
            await self._client.quietly(self._end_pulls())

    async def _run(self) -> None:
        pause = 0.1
        try:
            while not self._is_stopping:
                try:
                    await self._credit.wait()
                    if not await self.take_waiting():
                        await self._wait_for_one()
                    pause = 0.1
                except (ConsumerGone, QueueRefused) as error:
                    log.warning("queue %s is declared again: %s", self._queue.name, error)
                    pause = await self._declare_again(pause)
        except NatsUnavailable:
            return  # the connection is lost, and its owner knows

    async def _declare_again(self, pause: float) -> float:
        await asyncio.sleep(pause)
        try:
            self._queue = await self._streams.declare(self._queue.name, self._queue.arguments)
        except QueueRefused as error:
            log.warning("queue %s cannot be declared: %s", self._queue.name, error)
        return min(pause * 2, MAX_PAUSE_SECONDS)

    async def take_waiting(self) -> bool:
        """Everything that waits and that there is credit for, most urgent first; False when nothing waits."""
        took = False
        for level in reversed(range(self._queue.levels)):
            wanted = self._credit.free(BATCH)
            if not wanted:
                return True
            took = bool(await self._take_level(level, wanted)) or took
        return took

    async def _take_level(self, level: int, wanted: int) -> int:
        if self._inbox is None:
            self._inbox = await _Inbox(self._client, self._straggler).open()
        inbox, got = self._inbox, 0
        self._credit.take(wanted)
        try:
            await self._pull(inbox, level, batch=wanted, no_wait=True)
            while got < wanted:
                message = await inbox.next(ANSWER_SECONDS)
                status = _status(message)
                if status is None:
                    got += 1
                    self._deliver(message)
                elif status in (NO_MESSAGES, EXPIRED):
                    break
                else:
                    raise ConsumerGone(_reason(message))
        except TimeoutError:
            inbox.close()  # a late answer must not be taken for one to the next pull
            self._inbox = None
        finally:
            self._credit.give(wanted - got)
        return got

    async def _wait_for_one(self) -> None:
        inbox = await _Inbox(self._client, self._straggler).open()
        self._has_lingered = True
        message = None
        try:
            for level in reversed(range(self._queue.levels)):
                await self._pull(inbox, level, batch=1, expires=LINGER_SECONDS * SECOND)
            message = await self._next_while_there_is_credit(inbox)
        finally:
            inbox.close()
        if message is not None and (status := _status(message)) is not None:
            if status not in (NO_MESSAGES, EXPIRED):
                raise ConsumerGone(_reason(message))
            message = None
        if message is not None and self._credit.free(1):
            self._straggler(message)
            message = None
        if not self._credit.free(1):  # else pulls that live follow at once
            await self._end_pulls()
        if message is not None:
            self._straggler(message)

    async def _next_while_there_is_credit(self, inbox: _Inbox) -> Msg | None:
        """The first answer; None when nothing came, or when other queues have spent all credit."""
        answer = asyncio.ensure_future(inbox.next(LINGER_SECONDS + ANSWER_SECONDS))
        spent = asyncio.ensure_future(self._credit.spent(SPENT_SECONDS))
        try:
            await asyncio.wait((answer, spent), return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if answer.done() and answer.exception() is None and _status(answer.result()) is None:
                self._straggler(answer.result())  # it came in the moment in which we were stopped
            raise
        finally:
            for each in (answer, spent):
                each.cancel()

    async def _end_pulls(self) -> None:
        """The server drops the pulls that nobody listens to any more: it does so when it counts those that wait."""
        await asyncio.sleep(0)  # closed inboxes unsubscribe first
        with contextlib.suppress(nats.js.errors.NotFoundError):
            for level in range(self._queue.levels):
                await self._client.ask(f"CONSUMER.INFO.{self._queue.stream}.{self._queue.consumer(level)}")

    def _straggler(self, message: Msg) -> None:
        if not self._is_stopping and self._credit.free(1):
            self._credit.take(1)
            self._deliver(message)
        elif self._client.fault is None:
            self._client.spawn(self._client.give_back(message))

    async def _pull(self, inbox: _Inbox, level: int, **request: int | bool) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._queue.stream}.{self._queue.consumer(level)}"
        await self._client.send(subject, json.dumps(request).encode(), reply=inbox.subject)


def _reason(message: Msg) -> str:
    headers = message.headers or {}
    return f"{headers.get('Status')} {headers.get('Description', 'no such consumer')}"


async def take_one(client: Client, queue: WorkQueue) -> Msg | None:
    """The most urgent message that waits, if any."""
    puller_credit, taken = Credit(), []
    puller_credit.set_limit(1)

    def take(message: Msg) -> None:
        taken.append(message)

    puller = Puller(client, Streams(client), queue, puller_credit, take)
    try:
        await puller.take_waiting()
    finally:
        await puller.stop()
    return taken[0] if taken else None
