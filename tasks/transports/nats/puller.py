"""Brings the messages of one durable queue to a channel, the most urgent first, as far as its credit goes.

While messages wait it asks level after level for as many as there is credit for. When none waits, one pull per level
lingers at the server, and the first message ends them all: nothing is asked for again and again. What a lingering pull
of another level brings meanwhile is taken on credit, or handed back. Lingering takes no credit: the queues of a channel
share it, and an idle one must not keep it from the others. It ends when the others have spent all of it.

A server (2.9) that wants to deliver again what was handed back, and finds only pulls whose inbox has gone, forgets that
message until ack_wait is over, and delivers the last one of the stream a second time. So it is made to drop such pulls
before anything is handed back.

A pull from a consumer that was deleted is answered by nothing at all. So whoever has waited for an answer in vain, and
whoever waits for messages, looks whether everything is still there, and makes what is missing anew.
"""

import asyncio
import contextlib
import json
import logging
from typing import Any

import nats.js.errors
from nats.aio.msg import Msg

from tasks.transports.nats.bindings import Bindings
from tasks.transports.nats.client import Client
from tasks.transports.nats.credit import Credit
from tasks.transports.nats.errors import NatsUnavailable, QueueRefused
from tasks.transports.nats.inbox import Deliver, Inbox, reason_of, status_of
from tasks.transports.nats.streams import SECOND, Streams, WorkQueue

log = logging.getLogger(__name__)

BATCH = 100
LINGER_SECONDS = 30
ANSWER_SECONDS = 2.0
CHECK_SECONDS = 2.0  # what was deleted while nothing was to be done is noticed after so long
STOP_SECONDS = 5.0
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 2.0
SPENT_SECONDS = 0.1  # a puller that asks has all credit for as long as the answer takes
NO_MESSAGES, EXPIRED = "404", "408"


class ConsumerGone(Exception):
    """The stream or one of its consumers was deleted behind our back."""


class Puller:
    """One task on the loop, from `start` to `stop`."""

    def __init__(
        self,
        client: Client,
        streams: Streams,
        bindings: Bindings,
        queue: WorkQueue,
        credit: Credit,
        deliver: Deliver,
    ) -> None:
        self._client, self._streams, self._bindings, self._queue = client, streams, bindings, queue
        self._credit, self._deliver = credit, deliver
        self._pause = MIN_PAUSE_SECONDS
        self._trouble = ""
        self._made: dict[str, str] = {}
        """The queue's consumers as last seen, and when each was made."""
        self._is_stopping = False
        self._has_lingered = False
        self._inbox: Inbox | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = self._client.spawn(self._run())

    async def stop(self) -> None:
        """End; what is on its way to us is handed back."""
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
        if self._inbox is not None:
            self._inbox.close()
        if self._has_lingered:
            await self._client.quietly(self._end_pulls())

    async def _run(self) -> None:
        while not self._is_stopping:
            try:
                if not self._made:
                    await self._check()
                await self._credit.wait()
                if not await self.take_waiting():
                    await self._wait_for_one()
                self._is_well()
            except ConsumerGone as error:
                await self._after(f"is made again: {error}")
                await self._make_again()
            except QueueRefused as error:
                await self._after(f"is refused: {error}")
            except NatsUnavailable as error:
                if self._client.fault is not None:
                    return  # the connection is lost, and its owner knows
                await self._after(f"is not served: {error}")

    async def _after(self, trouble: str) -> None:
        """Say it once, however often it is met, and wait a while."""
        if trouble != self._trouble:
            log.warning("queue %s %s", self._queue.name, trouble)
            self._trouble = trouble
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)

    def _is_well(self) -> None:
        if self._trouble:
            log.info("queue %s is served again", self._queue.name)
        self._pause, self._trouble = MIN_PAUSE_SECONDS, ""

    async def _make_again(self) -> None:
        try:
            self._queue = await self._streams.declare(self._queue.name, self._queue.arguments)
            self._made = {}
            await self._bindings.keep()
        except (QueueRefused, NatsUnavailable) as error:
            if self._client.fault is None:
                await self._after(f"cannot be made: {error}")

    async def _check(self) -> None:
        """Raises ConsumerGone, also when others have made anew what our pulls waited at, and NatsUnavailable."""
        before, self._made = self._made, await self._streams.consumers(self._queue)
        gone = [name for name in self._queue.consumers if name not in self._made]
        if gone:
            raise ConsumerGone(f"its consumers were deleted: {', '.join(gone)}")
        if before and before != self._made:
            raise ConsumerGone("its consumers are others than before")
        await self._bindings.keep()

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._check()

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
            self._inbox = await Inbox(self._client, self._straggler).open()
        inbox, got = self._inbox, 0
        self._credit.take(wanted)
        try:
            await self._pull(inbox, level, batch=wanted, no_wait=True)
            while got < wanted:
                message = await inbox.next(ANSWER_SECONDS)
                status = status_of(message)
                if status is None:
                    got += 1
                    self._deliver(message)
                elif status in (NO_MESSAGES, EXPIRED):
                    break
                else:
                    raise ConsumerGone(reason_of(message))
        except TimeoutError:
            inbox.close()  # a late answer must not be taken for one to the next pull
            self._inbox = None
            await self._check()
        finally:
            self._credit.give(wanted - got)
        return got

    async def _wait_for_one(self) -> None:
        inbox = await Inbox(self._client, self._straggler).open()
        self._has_lingered = True
        message = None
        try:
            for level in reversed(range(self._queue.levels)):
                await self._pull(inbox, level, batch=1, expires=LINGER_SECONDS * SECOND)
            message = await self._next_while_there_is_credit(inbox)
        finally:
            inbox.close()
        if message is not None and (status := status_of(message)) is not None:
            if status not in (NO_MESSAGES, EXPIRED):
                raise ConsumerGone(reason_of(message))
            message = None
        if message is not None and self._credit.free(1):
            self._straggler(message)
            message = None
        if not self._credit.free(1):  # else pulls that live follow at once
            await self._end_pulls()
        if message is not None:
            self._straggler(message)

    async def _next_while_there_is_credit(self, inbox: Inbox) -> Msg | None:
        """The first answer; None when nothing came, or when other queues have spent all credit. Raises as `_check`."""
        answer = asyncio.ensure_future(inbox.next(LINGER_SECONDS + ANSWER_SECONDS))
        spent = asyncio.ensure_future(self._credit.spent(SPENT_SECONDS))
        fault = asyncio.ensure_future(self._check_for_ever())
        try:
            await asyncio.wait((answer, spent, fault), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if fault.done():
                fault.result()
            return None
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if answer.done() and answer.exception() is None and status_of(answer.result()) is None:
                self._straggler(answer.result())  # it came in the moment in which we were stopped
            raise
        finally:
            for each in (answer, spent, fault):
                each.cancel()
                each.add_done_callback(_look_at)

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

    async def _pull(self, inbox: Inbox, level: int, **request: int | bool) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._queue.stream}.{self._queue.consumer(level)}"
        await self._client.send(subject, json.dumps(request).encode(), reply=inbox.subject)


def _look_at(ended: "asyncio.Future[Any]") -> None:
    """What was not waited for is no fault that somebody has to hear of."""
    if not ended.cancelled():
        ended.exception()


async def take_one(client: Client, streams: Streams, bindings: Bindings, queue: WorkQueue) -> Msg | None:
    """The most urgent message that waits, if any."""
    credit, taken = Credit(), []
    credit.set_limit(1)

    def take(message: Msg) -> None:
        taken.append(message)

    puller = Puller(client, streams, bindings, queue, credit, take)
    try:
        await puller.take_waiting()
    except ConsumerGone:
        if await streams.find(queue.name, afresh=True) is not None:
            await streams.declare(queue.name, queue.arguments)
    finally:
        await puller.stop()
    return taken[0] if taken else None
