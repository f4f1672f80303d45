"""The last resort of a process that was asked to end: a server that answers nothing must not keep it for ever."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

EXIT_STATUS = 1
SPARE_SECONDS = 2  # for the thread, before the kernel ends the process without asking it


def end_within(seconds: float, *, before: Callable[[], None] | None = None) -> None:
    """End this process in so many seconds, unless it has ended by itself; returns at once.

    `before` is called in the watchdog's thread, just before the process ends. What a process that is ended in this way
    held is found by others, as after a crash: leases run out, and connections are closed by the kernel.
    """
    if threading.current_thread() is threading.main_thread():
        # The thread below needs the interpreter, and a log that somebody reads. The kernel's alarm needs neither.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(seconds) + SPARE_SECONDS)
    threading.Thread(target=_end_after, args=(seconds, before), name="watchdog", daemon=True).start()


def end_now(why: str, *, before: Callable[[], None] | None = None) -> None:
    """End this process at once, without closing anything; says where its main thread was."""
    try:
        log.error("process_ended_by_watchdog", why=why, main_thread=_place_of_main_thread())
        if before is not None:
            before()
    finally:
        os._exit(EXIT_STATUS)


def _end_after(seconds: float, before: Callable[[], None] | None) -> None:
    time.sleep(seconds)
    end_now(f"it was asked to end, and has not ended in {seconds:g} s", before=before)


def _place_of_main_thread() -> str:
    """The innermost call, for whoever wants to know what did not answer."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None:
        return "gone"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
