"""The worker itself: claims, heartbeats and outcomes in threads, Celery's pool in the event loop of the main thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from celery.app.base import Celery

from taskledger_sdk.celery.worker.options import WorkerOptions
from taskledger_sdk.celery.worker.pace import Pace
from taskledger_sdk.celery.worker.pool import Loop
from taskledger_sdk.celery.worker.runner import Runner
from taskledger_sdk.celery.worker.types import AdoptedType
from taskledger_sdk.client.work import messages
from taskledger_sdk.client.work.attempt import WorkTask
from taskledger_sdk.client.work.messages import Ending, WorkerLife
from taskledger_sdk.client.work.threads import GATHER_SECONDS, ThreadedWorker
from taskledger_sdk.http.calls import Answer
from taskledger_sdk.http.calls import Call as HttpCall
from taskledger_sdk.http.errors import RequestFailed

log = logging.getLogger("taskledger.celery")

TICK_SECONDS = 0.5
BEAT_SECONDS = 4.0  # so long a revoked task may go on; one request tells of all attempts
LAST_WORD_SECONDS = 10.0  # for outcomes to be sent, once nothing runs any more
TOGETHER_SECONDS = 0.02  # outcomes of short tasks wait so long for one another: each request costs a commit
HURRY_SECONDS = 0.05  # a claim waits so long for more room while there is still something to run


class PoolWorker(ThreadedWorker):
    """One life of a worker; receivers of signals look for `app`, `hostname`, `concurrency` and `pool_cls` in it."""

    def __init__(
        self,
        app: Celery,
        options: WorkerOptions,
        life: WorkerLife,
        types: Mapping[str, AdoptedType],
        send: Callable[[HttpCall], Answer],
    ) -> None:
        super().__init__(send, {}, life, stop=threading.Event(), stop_seconds=0.0)
        self.app, self.options, self.hostname = app, options, options.hostname
        self.concurrency, self.pool_cls = options.concurrency, options.pool
        self._loop = Loop()
        self._runner = Runner(app, options, types, self._loop, sender=self, on_over=self._over)
        self.children = self._runner.children
        self._pace = Pace()
        self._claimed: deque[WorkTask] = deque()  # claimed, and not begun
        self._claims = threading.Thread(target=self._guarded, args=(self._claim,), name="work-claims", daemon=True)
        self._is_filling = False
        self._cold_since: float | None = None
        self._quiet_since: float | None = None

    # What the main thread does.

    def run(self) -> None:
        """Work until `stop_warmly` or `stop_coldly` is called. Raises RequestFailed where no claim can succeed."""
        self.children.start()
        if self._runner.channel.reads_from is not None:
            self._loop.hub.add_reader(self._runner.channel.reads_from, self._runner.channel.read)
        self._claims.start()
        for name, what in (("beats", self._beat), ("outcomes", self._tell)):
            threading.Thread(target=self._guarded, args=(what,), name=f"work-{name}", daemon=True).start()
        self._loop.every(TICK_SECONDS, self._tick)
        try:
            while not self._is_done():
                self._loop.turn()
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()
            self.children.stop(at_once=self._cold_since is not None)
            self._leave()
        if self._fault is not None:
            raise self._fault

    def stop_warmly(self) -> None:
        """Claim nothing more, give back what has not begun, and end when the rest has. Signal handlers may call it."""
        self._stop.set()
        self._loop.wake()

    def stop_coldly(self) -> None:
        """The same, and end what runs after `worker_soft_shutdown_timeout`."""
        self._cold_since = self._cold_since or time.monotonic()
        self.stop_warmly()

    def _is_done(self) -> bool:
        if not self._stop.is_set():
            return False
        with self._changed:
            if self._claimed or self._running:
                self._quiet_since = None
                return False
            if not self._endings and not self._held and not self._claims.is_alive():
                return True
        self._quiet_since = self._quiet_since or time.monotonic()
        return self._fault is not None or time.monotonic() - self._quiet_since > LAST_WORD_SECONDS

    def _leave(self) -> None:
        try:
            self._send(self._life.leave())
        except RequestFailed as error:
            log.debug("not told that this worker has ended: %s", error)

    def _tick(self) -> None:
        self._give_back_what_waits()
        self._scale()
        if self._cold_since is not None:
            soft = float(self.app.conf.get("worker_soft_shutdown_timeout") or 0.0)  # not in Celery 5.3
            if time.monotonic() - self._cold_since >= soft:
                self._runner.end_all()

    def _give_back_what_waits(self) -> None:
        """Others may have room for what was claimed ahead and meets long tasks here; on a stop all of it goes back."""
        now = time.monotonic()
        with self._changed:
            waits = [task for task in self._claimed if self._stop.is_set() or self._pace.is_late(task.claimed_at, now)]
            for task in waits:
                self._claimed.remove(task)
                self._endings.append(messages.released(task))
            if waits:
                self._pace.was_late()
                self._changed.notify_all()

    def _scale(self) -> None:
        if self.options.smallest is None:
            return
        with self._changed:
            waiting, running = len(self._claimed), len(self._running)
        if waiting and self.children.limit < self.options.concurrency:
            self.children.grow(min(waiting, self.options.concurrency - self.children.limit))
            self._fill()
        elif self._pace.has_spare_child(running, self.children.limit) and self.children.limit > self.options.smallest:
            self.children.shrink()

    # What the threads of claims and heartbeats do.

    def _room(self) -> int:
        most = self.options.concurrency + self._pace.ahead(self.children.limit)
        return min(most - len(self._running) - len(self._claimed), 4 * most - len(self._held))

    def _free_places(self) -> int:
        """How many more tasks may be claimed; waits until it is worth a claim."""
        with self._changed:
            self._changed.wait_for(lambda: self._room() > 0, 0.5)
            if self._running:
                half = (self.options.concurrency + self._pace.ahead(self.children.limit) + 1) // 2
                seconds = HURRY_SECONDS if self._claimed else GATHER_SECONDS
                self._changed.wait_for(lambda: self._room() >= half, seconds)
            return max(0, self._room())

    def _start(self, items: list[dict[str, Any]]) -> None:
        claimed_at = time.monotonic()
        with self._changed:
            for item in items:
                task = WorkTask(item, claimed_at=claimed_at)
                task.longest_beat_seconds = BEAT_SECONDS
                self._held.add(task)
                if self._stop.is_set():  # it came too late
                    self._endings.append(messages.released(task))
                else:
                    self._claimed.append(task)
            self._changed.notify_all()
        self._loop.soon(self._fill)

    def _end_early(self, task: WorkTask) -> None:
        self._loop.soon(lambda: self._end_task(task))

    def _gather(self) -> None:
        if self._pace.ahead(self.children.limit) and not self._stop.is_set():
            time.sleep(TOGETHER_SECONDS)

    def _tell_first(self, part: list[Ending]) -> None:
        """What an attempt told last stays with its task: a custom state, the calls that it made."""
        due = [each.task for each in part if each.task.has_news and not each.task.is_lost]
        if due:
            beats = [task.take_beat() for task in due]
            try:
                self._send(messages.beats(beats))
            except RequestFailed:
                for task, beat in zip(due, beats, strict=True):
                    task.give_back(beat)
                raise

    def _sent(self, part: list[Ending], answers: list[dict[str, Any]]) -> None:
        super()._sent(part, answers)
        if self._stop.is_set():
            self._loop.wake()

    # What the main thread does with attempts.

    def _fill(self) -> None:
        """Hand to the pool what it has free children for."""
        if self._is_filling:  # a pool without children has ended one within `_begin`
            return
        self._is_filling = True
        try:
            while True:
                with self._changed:
                    if not self._claimed or len(self._running) >= self.children.limit or self._stop.is_set():
                        return
                    task = self._claimed.popleft()
                    self._running.add(task)
                self._runner.begin(task)
        finally:
            self._is_filling = False

    def _over(self, ending: Ending, seconds: float | None) -> None:
        if seconds is not None:
            self._pace.ran(seconds)
        with self._changed:
            self._running.discard(ending.task)
            self._endings.append(ending)
            self._changed.notify_all()
        self._fill()

    def _end_task(self, task: WorkTask) -> None:
        """It was cancelled, or its lease is lost."""
        with self._changed:
            if task in self._claimed:
                self._claimed.remove(task)
                self._endings.append(messages.released(task))
                self._changed.notify_all()
                return
        self._runner.end_task(task)
