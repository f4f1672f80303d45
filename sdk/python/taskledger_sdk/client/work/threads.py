"""The worker loop of `Client.work`: one thread claims, one beats, one sends outcomes, and each attempt has its own."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias
from uuid import uuid4

from taskledger_sdk.client.work import messages
from taskledger_sdk.client.work.attempt import WorkTask, stopping
from taskledger_sdk.client.work.messages import Beat, Ending, WorkerLife
from taskledger_sdk.http.calls import JITTER, Answer, Call
from taskledger_sdk.http.errors import RequestFailed

log = logging.getLogger("taskledger.work")

Handler: TypeAlias = Callable[[WorkTask, Any], Any]
LOOK_SECONDS = 0.25  # for attempts whose heartbeat is due
GATHER_SECONDS = 0.005  # so long a claim waits for more free places, when one has come free
LAST_CLAIM_SECONDS = 0.5  # on a stop, for a claim that just takes tasks: its answer would be lost with them
AFTER_STOP_SECONDS = 2.0  # for handlers to end that were told so, and for outcomes to be sent
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def life_of(name: str | None, types: Mapping[str, Any], concurrency: int) -> WorkerLife:
    """What a worker of this process says of itself."""
    if not types:
        raise ValueError("work() takes the types that it works on, each with its handler: {'resize': resize}")
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency}: give at least 1")
    host = socket.gethostname()
    made = name or f"{''.join(c if c.isalnum() else '-' for c in host).strip('-')[:60] or 'worker'}-{uuid4().hex[:8]}"
    return WorkerLife(name=made, host=host, pid=os.getpid(), types=sorted(types), concurrency=concurrency)


class ThreadedWorker:
    """One run of `Client.work`."""

    def __init__(
        self,
        send: Callable[[Call], Answer],
        handlers: Mapping[str, Handler],
        life: WorkerLife,
        *,
        stop: threading.Event,
        stop_seconds: float,
    ) -> None:
        self._send = send
        self._handlers = handlers
        self._life = life
        self._stop = stop
        self._stop_seconds = stop_seconds
        self._changed = threading.Condition()
        self._running: set[WorkTask] = set()  # whose handler runs
        self._held: set[WorkTask] = set()  # whose lease is held: also those whose outcome is not sent yet
        self._endings: list[Ending] = []
        self._fault: BaseException | None = None
        self._is_claiming = False
        self._is_over = False

    def run(self) -> None:
        """Work until `stop` is set. Raises RequestFailed where no claim can succeed."""
        threads = [
            threading.Thread(target=self._guarded, args=(loop,), name=f"work-{name}", daemon=True)
            for name, loop in (("claims", self._claim), ("beats", self._beat), ("outcomes", self._tell))
        ]
        for thread in threads:
            thread.start()
        try:
            self._stop.wait()
            self._end()
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()
        if self._fault is not None:
            raise self._fault

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:  # noqa: BLE001 (whoever called work() is told, and everything ends in order)
            self._fault = self._fault or error
            self._stop.set()

    def _end(self) -> None:
        """Let handlers end; what does not is given back."""
        self._wait_until(lambda: not self._is_claiming, LAST_CLAIM_SECONDS)
        self._wait_until(lambda: not self._running, self._stop_seconds)
        with self._changed:
            late = list(self._running)
        for task in late:
            task.ask_to_stop(stopping())
        self._wait_until(lambda: not self._running, AFTER_STOP_SECONDS if late else 0.0)
        with self._changed:
            for task in self._running:
                log.warning("released %r: its handler did not end in time", task)
                self._endings.append(messages.released(task))
            self._running.clear()
            self._changed.notify_all()
        self._wait_until(lambda: not self._endings and not self._held, AFTER_STOP_SECONDS)
        try:
            self._send(self._life.leave())
        except RequestFailed as error:
            log.debug("not told that this worker has ended: %s", error)

    def _wait_until(self, is_so: Callable[[], bool], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: is_so() or self._fault is not None, seconds)

    def _claim(self) -> None:
        failures, call = 0, None
        while not self._stop.is_set():
            free = self._free_places()
            if free == 0:
                continue
            # Sent again as it is after a failure: it may have taken tasks, and then gets these.
            call = call or self._life.claim(free)
            try:
                self._is_claiming = True
                answer = self._send(call)
            except RequestFailed as error:
                self._has_claimed()
                if messages.is_misconfigured(error):
                    raise
                failures += 1
                log.warning("no claim could be made (%s); trying again", error)
                self._stop.wait(messages.pause_after(failures, JITTER.random()))
                continue
            failures, call = 0, None
            self._start(answer.data["items"])
            self._has_claimed()
            if answer.data["retry_after"] and not answer.data["items"]:
                self._stop.wait(answer.data["retry_after"] * (0.5 + JITTER.random()))

    def _has_claimed(self) -> None:
        with self._changed:
            self._is_claiming = False
            self._changed.notify_all()

    def _free_places(self) -> int:
        """How many more tasks can run; waits until there is one, and a moment for more."""
        most = self._life.concurrency
        with self._changed:
            # Outcomes that cannot be sent hold up claims, or they would fill the memory.
            self._changed.wait_for(lambda: len(self._running) < most and len(self._held) < 4 * most, 0.5)
            if self._running:
                self._changed.wait_for(lambda: len(self._running) <= most // 2, GATHER_SECONDS)
            return max(0, min(most - len(self._running), 4 * most - len(self._held)))

    def _start(self, items: list[dict[str, Any]]) -> None:
        claimed_at = time.monotonic()
        for item in items:
            task = WorkTask(item, claimed_at=claimed_at)
            with self._changed:
                self._held.add(task)
                if self._stop.is_set():  # it came too late
                    self._endings.append(messages.released(task))
                else:
                    self._running.add(task)
                self._changed.notify_all()
            if task in self._running:
                threading.Thread(target=self._attempt, args=(task,), name=f"work {task.type}", daemon=True).start()

    def _attempt(self, task: WorkTask) -> None:
        try:
            ending = messages.completed(task, self._handlers[task.type](task, task.payload))
        except BaseException as error:  # noqa: BLE001 (whatever a handler raises is how its attempt ended)
            ending = messages.failed(task, error)
        with self._changed:
            if task in self._running:  # else it was given back meanwhile
                self._running.discard(task)
                self._endings.append(ending)
            self._changed.notify_all()

    def _beat(self) -> None:
        while not self._is_over:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._is_over)
                now = time.monotonic()
                due = [task for task in self._held if not task.is_lost and task.next_beat_at() <= now]
            if not due:
                time.sleep(LOOK_SECONDS)  # not until something changes: with short tasks that is all the time
            for start in range(0, len(due), messages.MAX_ITEMS):
                self._beat_for(due[start : start + messages.MAX_ITEMS])

    def _beat_for(self, tasks: list[WorkTask]) -> None:
        self._send_beats([(task, task.take_beat()) for task in tasks])

    def _send_beats(self, told: list[Beat]) -> None:
        try:
            answers = self._send(messages.beats([beat for _, beat in told])).data["items"]
        except RequestFailed as error:
            smaller = messages.smaller_beats(told, error)
            for some in smaller or ():
                self._send_beats(some)
            if smaller is None:
                log.warning("leases were not renewed (%s); trying again", error)
                for task, beat in told:
                    task.give_back(beat)
                time.sleep(1.0)
            return
        for (task, _), answer in zip(told, answers, strict=True):
            why = task.hear(answer)
            if why is not None:
                log.info("%r is to end: %s", task, why)
                self._end_early(task)

    def _end_early(self, task: WorkTask) -> None:
        """It was cancelled, or its lease was lost; a handler in a thread asks for that by itself."""

    def _tell(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._endings or self._is_over)
            self._gather()
            with self._changed:
                part = messages.part_of(self._endings)
            if not part:
                return
            try:
                self._tell_first(part)
                self._sent(part, self._send(messages.outcomes(part)).data["items"])
                failures = 0
            except RequestFailed as error:
                if self._is_over:
                    return
                if messages.is_passing(error):
                    failures += 1
                    log.warning("outcomes were not sent (%s); trying again", error)
                    time.sleep(messages.pause_after(failures, JITTER.random()))
                elif len(part) > 1:
                    for each in part:
                        self._tell_one(each)
                else:
                    self._replace(part[0], messages.refused(part[0].task, error))

    def _gather(self) -> None:
        """Wait for more outcomes that could go together, where many are to come. Nothing here."""

    def _tell_first(self, part: list[Ending]) -> None:
        """What is to be told before these outcomes are; raises RequestFailed to have them wait. Nothing here."""

    def _tell_one(self, ending: Ending) -> None:
        """One of several that were refused together."""
        try:
            self._sent([ending], self._send(messages.outcomes([ending])).data["items"])
        except RequestFailed as error:
            if not messages.is_passing(error):
                self._replace(ending, messages.refused(ending.task, error))

    def _replace(self, ending: Ending, other: Ending) -> None:
        with self._changed:
            self._endings[self._endings.index(ending)] = other

    def _sent(self, part: list[Ending], answers: list[dict[str, Any]]) -> None:
        for each, answer in zip(part, answers, strict=True):
            if answer["status"] != 200:
                log.warning("what came of %r counts for nothing: its lease was lost", each.task)
        with self._changed:
            gone = {id(each) for each in part}
            self._endings = [each for each in self._endings if id(each) not in gone]
            self._held.difference_update(each.task for each in part)
            self._changed.notify_all()


@contextmanager
def stopped_by_signals(stop: threading.Event, *, is_wanted: bool) -> Iterator[None]:
    """SIGTERM and SIGINT end the worker in order; a second one does what it did before."""
    if not is_wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def on_signal(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
