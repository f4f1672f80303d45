"""zoo: everything that a handler should not do to its process, one deed a task; for tests only."""

import asyncio
import ctypes
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from taskledger_sdk import RetryPolicy, TaskContext, task_type

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Deed:
    name: str
    code: int = 0
    path: str = ""


@task_type("zoo", retry=RetryPolicy(max_retries=0), examples=({"name": "behave"},))
def zoo(_task: TaskContext, payload: Deed) -> Any:
    """Do the deed."""
    return DEEDS[payload.name](payload)


def _exit_at_once(deed: Deed) -> None:
    os._exit(deed.code)


def _signal_self(deed: Deed) -> str:
    os.kill(os.getpid(), deed.code)
    time.sleep(0.2)
    return "went on"


def _survive_term(_deed: Deed) -> str:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    except SystemExit:
        return "went on"
    return "was not told"


def _close_streams(_deed: Deed) -> None:
    sys.stdout.close()
    sys.stderr.close()


def _close_descriptors(_deed: Deed) -> None:
    os.close(1)
    os.close(2)


def _change_signals(_deed: Deed) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2})
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.3)


def _move_house(deed: Deed) -> None:
    os.chdir(deed.path)
    os.umask(0o777)


def _leave_process(deed: Deed) -> None:
    """A process, and one that hid from its parent in a session of its own; their ids go to the file."""
    ours = subprocess.Popen(["sleep", "600"])
    hidden = subprocess.run(
        ["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"],
        capture_output=True,
        text=True,
        check=True,
    )
    with open(deed.path, "w") as file:
        file.write(f"{ours.pid} {hidden.stdout.strip()}")


def _hang_with_process(deed: Deed) -> None:
    child = subprocess.Popen(["sleep", "600"])
    with open(deed.path, "w") as file:
        file.write(str(child.pid))
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def _raise_all(deed: Deed) -> None:
    kinds = (KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError, BaseException)
    raise kinds[deed.code]("odd")


def _nest(_deed: Deed) -> Any:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    return value


def _take_memory(_deed: Deed) -> int:
    return len(bytearray(1 << 46))


def _take_descriptors(_deed: Deed) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        os.open(os.devnull, os.O_RDONLY)


def _leave_threads(_deed: Deed) -> None:
    for _ in range(150):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def _recurse(deed: Deed) -> Any:
    return _recurse(deed)


def _block_in_c(_deed: Deed) -> str:
    ctypes.PyDLL(None).sleep(2)  # holds the interpreter: nothing else runs in this process meanwhile
    return "back"


def _use_processes(_deed: Deed) -> list[int]:
    """As the page says: started anew, because a fork copies locks that another thread of the child may hold."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        return list(executor.map(math.factorial, range(4)))


def _fail_largely(_deed: Deed) -> None:
    raise ValueError("x" * 50 * MEGABYTE)


DEEDS: dict[str, Callable[[Deed], Any]] = {
    "behave": lambda _deed: "well",
    "exit": lambda deed: sys.exit(deed.code),
    "exit_at_once": _exit_at_once,
    "signal_self": _signal_self,
    "survive_term": _survive_term,
    "close_streams": _close_streams,
    "close_descriptors": _close_descriptors,
    "change_signals": _change_signals,
    "move_house": _move_house,
    "leave_process": _leave_process,
    "hang_with_process": _hang_with_process,
    "raise": _raise_all,
    "return_largely": lambda _deed: "x" * 50 * MEGABYTE,
    "return_object": lambda _deed: object(),
    "return_bytes": lambda _deed: b"\xff",
    "return_nan": lambda _deed: float("nan"),
    "nest": _nest,
    "fail_largely": _fail_largely,
    "recurse": _recurse,
    "take_memory": _take_memory,
    "take_descriptors": _take_descriptors,
    "leave_threads": _leave_threads,
    "block_in_c": _block_in_c,
    "use_processes": _use_processes,
}
