"""The worker loop of `AsyncClient.work`: claims, beats and outcomes are tasks of one event loop, as each attempt is."""

import asyncio
import contextvars
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeAlias

from taskledger_sdk.client.work import messages
from taskledger_sdk.client.work.attempt import WorkTask, stopping
from taskledger_sdk.client.work.messages import Beat, Ending, WorkerLife
from taskledger_sdk.client.work.threads import AFTER_STOP_SECONDS, LAST_CLAIM_SECONDS, SIGNALS
from taskledger_sdk.errors import TimeLimitReached
from taskledger_sdk.http.calls import JITTER, Answer, Call
from taskledger_sdk.http.errors import RequestFailed

log = logging.getLogger("taskledger.work")

AsyncHandler: TypeAlias = Callable[[WorkTask, Any], Any]
LOOK_SECONDS = 0.1


class CoroutineWorker:
    """One run of `AsyncClient.work`."""

    def __init__(
        self,
        send: Callable[[Call], Awaitable[Answer]],
        handlers: Mapping[str, AsyncHandler],
        life: WorkerLife,
        *,
        stop: asyncio.Event,
        stop_seconds: float,
    ) -> None:
        self._send = send
        self._handlers = handlers
        self._life = life
        self._stop = stop
        self._stop_seconds = stop_seconds
        # As many as there are places: the loop's own executor has a few threads more than the machine has processors.
        self._threads = ThreadPoolExecutor(life.concurrency, thread_name_prefix="work")
        self._running: dict[WorkTask, asyncio.Task[None]] = {}
        self._held: set[WorkTask] = set()
        self._endings: list[Ending] = []
        self._has_ended = asyncio.Event()  # something has, since it was last looked at
        self._has_endings = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is set. Raises RequestFailed where no claim can succeed."""
        stopping_ = asyncio.create_task(self._stop.wait())
        claims = asyncio.create_task(self._claim())
        others = [asyncio.create_task(self._beat()), asyncio.create_task(self._tell())]
        loops = {stopping_, claims, *others}
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            await asyncio.wait({claims}, timeout=LAST_CLAIM_SECONDS)
            claims.cancel()
            await self._end()
        finally:
            for each in loops:
                each.cancel()
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*loops, *self._running.values(), return_exceptions=True)
            self._threads.shutdown(wait=False)
        for each in (claims, *others):
            if not each.cancelled() and (error := each.exception()) is not None:
                raise error

    async def _end(self) -> None:
        await self._until(lambda: not self._running, self._stop_seconds)
        for task in list(self._running):
            self._ask_to_stop(task, stopping())
        await self._until(lambda: not self._running, AFTER_STOP_SECONDS)
        for task in list(self._running):
            log.warning("released %r: its handler did not end in time", task)
            self._running.pop(task).cancel()
            self._ended(messages.released(task))
        await self._until(lambda: not self._held, AFTER_STOP_SECONDS)
        with suppress(RequestFailed):
            await self._send(self._life.leave())

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not is_so() and time.monotonic() < until:
            self._has_ended.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_ended.wait(), min(LOOK_SECONDS, max(0.0, until - time.monotonic())))

    async def _claim(self) -> None:
        failures, call = 0, None
        while not self._stop.is_set():
            await self._until(lambda: self._free_places() > 0, LOOK_SECONDS)
            if self._free_places() <= 0:
                continue
            call = call or self._life.claim(self._free_places())
            try:
                answer = await self._send(call)
            except RequestFailed as error:
                if messages.is_misconfigured(error):
                    raise
                failures += 1
                log.warning("no claim could be made (%s); trying again", error)
                await self._stop_within(messages.pause_after(failures, JITTER.random()))
                continue
            failures, call = 0, None
            claimed_at = time.monotonic()
            for item in answer.data["items"]:
                self._begin(WorkTask(item, claimed_at=claimed_at))
            if answer.data["retry_after"] and not answer.data["items"]:
                await self._stop_within(answer.data["retry_after"] * (0.5 + JITTER.random()))

    async def _stop_within(self, seconds: float) -> None:
        """Wait so long, or until the stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _free_places(self) -> int:
        """How many more tasks can run; outcomes that cannot be sent hold up claims, or they would fill the memory."""
        most = self._life.concurrency
        return min(most - len(self._running), 4 * most - len(self._held))

    def _begin(self, task: WorkTask) -> None:
        self._held.add(task)
        if self._stop.is_set():  # it came too late
            self._ended(messages.released(task))
            return
        self._running[task] = asyncio.create_task(self._attempt(task))

    async def _attempt(self, task: WorkTask) -> None:
        try:
            ending = messages.completed(task, await self._called(task))
        except asyncio.CancelledError as error:
            ending = messages.failed(task, task.stop or error)
        except BaseException as error:  # noqa: BLE001 (whatever a handler raises is how its attempt ended)
            ending = messages.failed(task, error)
        if self._running.pop(task, None) is not None:  # else it was given back meanwhile
            self._ended(ending)

    async def _called(self, task: WorkTask) -> Any:
        handler = self._handlers[task.type]
        if inspect.iscoroutinefunction(handler):
            return await handler(task, task.payload)
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._threads, run, handler, task, task.payload)

    def _ended(self, ending: Ending) -> None:
        self._endings.append(ending)
        self._has_endings.set()
        self._has_ended.set()

    def _ask_to_stop(self, task: WorkTask, why: BaseException) -> None:
        if task.ask_to_stop(why) is not None:
            self._cancel(task)

    def _cancel(self, task: WorkTask) -> None:
        """Cancel the coroutine of an attempt; it may clean up.

        A handler in a thread asks by itself whether it is to end. Until it does, its task is not given back: it would
        run twice at a time.
        """
        if task in self._running and inspect.iscoroutinefunction(self._handlers[task.type]):
            self._running[task].cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for task in [each for each in self._running if each.is_overdue(now)]:
                self._ask_to_stop(task, TimeLimitReached("its time limit was reached"))
            due = [task for task in self._held if not task.is_lost and task.next_beat_at() <= now]
            for start in range(0, len(due), messages.MAX_ITEMS):
                await self._beat_for(due[start : start + messages.MAX_ITEMS])

    async def _beat_for(self, tasks: list[WorkTask]) -> None:
        await self._send_beats([(task, task.take_beat()) for task in tasks])

    async def _send_beats(self, told: list[Beat]) -> None:
        try:
            answers = (await self._send(messages.beats([beat for _, beat in told]))).data["items"]
        except RequestFailed as error:
            smaller = messages.smaller_beats(told, error)
            for some in smaller or ():
                await self._send_beats(some)
            if smaller is None:
                log.warning("leases were not renewed (%s); trying again", error)
                for task, beat in told:
                    task.give_back(beat)
                await asyncio.sleep(1.0)
            return
        for (task, _), answer in zip(told, answers, strict=True):
            why = task.hear(answer)
            if why is not None:
                log.info("%r is to end: %s", task, why)
                self._cancel(task)

    async def _tell(self) -> None:
        failures = 0
        while True:
            await self._has_endings.wait()
            part = messages.part_of(self._endings)
            if not part:
                self._has_endings.clear()
                continue
            try:
                self._sent(part, (await self._send(messages.outcomes(part))).data["items"])
                failures = 0
            except RequestFailed as error:
                if messages.is_passing(error):
                    failures += 1
                    log.warning("outcomes were not sent (%s); trying again", error)
                    await asyncio.sleep(messages.pause_after(failures, JITTER.random()))
                else:
                    await self._tell_each(part, error)

    async def _tell_each(self, part: list[Ending], error: RequestFailed) -> None:
        """Of several that were refused together, each by itself."""
        for each in part:
            try:
                if len(part) == 1:
                    raise error
                self._sent([each], (await self._send(messages.outcomes([each]))).data["items"])
            except RequestFailed as refusal:
                if not messages.is_passing(refusal):
                    self._endings[self._endings.index(each)] = messages.refused(each.task, refusal)

    def _sent(self, part: list[Ending], answers: list[dict[str, Any]]) -> None:
        for each, answer in zip(part, answers, strict=True):
            if answer["status"] != 200:
                log.warning("what came of %r counts for nothing: its lease was lost", each.task)
        gone = {id(each) for each in part}
        self._endings = [each for each in self._endings if id(each) not in gone]
        self._held.difference_update(each.task for each in part)
        self._has_ended.set()


def stop_by_signals(stop: asyncio.Event) -> Callable[[], None]:
    """SIGTERM and SIGINT end the worker in order; returns what takes that back."""
    loop = asyncio.get_running_loop()
    taken = []
    for number in SIGNALS:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not here, or not in this thread
            loop.add_signal_handler(number, stop.set)
            taken.append(number)

    def give_back() -> None:
        for number in taken:
            loop.remove_signal_handler(number)

    return give_back
