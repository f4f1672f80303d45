"""The event loop for coroutines of handlers: one thread for each process, whatever its pool, from the first use on.

It never ends before its process: what one coroutine does to it must not reach the others, of which there may be 500.
"""

import asyncio
import contextvars
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import structlog

log = structlog.get_logger(__name__)

HELPERS = 32  # threads for asyncio.to_thread and for looking up names; Python's own number is 5 on one processor
BLOCKED_SECONDS = 2.0  # after so long without an answer the loop is said to be blocked
TELL_SECONDS = 10.0  # and from then on this often
REMEDY = "await what waits, and hand what blocks or computes to asyncio.to_thread()"


class CoroutineRun:
    """One coroutine on the loop. The thread that started it waits for it; any thread may cancel it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._name = name
        self._context = contextvars.copy_context()  # of the attempt: which task, request and span this belongs to
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False  # before it began
        self._ended = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Have the loop run it; returns at once."""
        self._loop.call_soon_threadsafe(self._begin)

    def cancel(self) -> None:
        """Raise CancelledError in it, where it waits. One that has not begun does not begin."""
        self._loop.call_soon_threadsafe(self._cancel)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has ended, within so many seconds at most."""
        return self._ended.wait(seconds)

    def result(self) -> Any:
        """What it returned, once it has ended; raises what it raised."""
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def _begin(self) -> None:
        if self._is_cancelled:
            self._coroutine.close()
            self._error = asyncio.CancelledError()
            self._ended.set()
        else:
            self._task = self._loop.create_task(self._guarded(), name=self._name, context=self._context)

    def _cancel(self) -> None:
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def _guarded(self) -> None:
        """Let nothing pass: a SystemExit would go through the loop, and end it for all others."""
        try:
            self._result = await self._coroutine
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that waits)
            self._error = error
        finally:
            self._ended.set()


class LoopThread:
    """The loop of this process. A process that is forked off has none until it needs one."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._asked_at: float | None = None  # time.monotonic() when the loop was asked for a sign of life
        self._told_at = 0.0

    def run_of(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> CoroutineRun:
        """A run of this coroutine, not started yet, in the context of the caller."""
        return CoroutineRun(self._running(), coroutine, name=name)

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Have the loop call this; returns at once."""
        self._running().call_soon_threadsafe(callback)

    @property
    def blocked_seconds(self) -> float:
        """For how long the loop has not answered; 0.0 while it does."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else time.monotonic() - asked_at

    def watch(self) -> None:
        """Ask the loop for a sign of life, and say what keeps it if there is none; called twice a second."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        seconds, now = self.blocked_seconds, time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            loop.call_soon_threadsafe(self._answer)
        elif seconds > BLOCKED_SECONDS and now - self._told_at > TELL_SECONDS:
            self._told_at = now
            log.warning("event_loop_blocked", seconds=round(seconds, 1), **_culprit(loop, thread), remedy=REMEDY)

    def _answer(self) -> None:
        self._asked_at, self._told_at = None, 0.0

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                loop.set_default_executor(ThreadPoolExecutor(HELPERS, thread_name_prefix="event-loop-helper"))
                self._thread = threading.Thread(target=_run, args=(loop,), name="event-loop", daemon=True)
                self._thread.start()
                self._loop = loop
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop for ever. What a task or a callback made by a handler does to it is told, and it goes on."""
    while True:
        why = "somebody called its stop()"
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001 (SystemExit and KeyboardInterrupt go through a loop)
            why = f"{type(error).__name__}: {error}"
        log.error("event_loop_interrupted", why=why, remedy="a handler must leave its loop alone; it goes on")


def _culprit(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> dict[str, str]:
    """Which task keeps the loop, where its coroutine is, and in which call."""
    current = asyncio.current_task(loop)
    frames = _frames(sys._current_frames().get(thread.ident or 0))
    if current is None or not frames:
        return {"who": "a callback", "place": _place(frames[-1]) if frames else "unknown"}
    return {"who": current.get_name(), "place": _place(_outermost_of_task(frames)), "inside": _place(frames[-1])}


def _frames(frame: FrameType | None) -> list[FrameType]:
    """The stack of a thread, the innermost call last."""
    stack = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    return stack[::-1]


def _outermost_of_task(frames: list[FrameType]) -> FrameType:
    """Where the coroutine itself is: the first frame that belongs neither to asyncio nor to us."""
    ours = (asyncio.__path__[0], __file__, threading.__file__)
    return next((each for each in frames if not each.f_code.co_filename.startswith(ours)), frames[-1])


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


LOOP = LoopThread()
