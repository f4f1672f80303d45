"""What a handler leaves behind in a child of the pool, and what is done so that no later task pays for it.

Processes that it started end with its attempt, timers and signal handlers are put back, closed standard streams are
opened again. What cannot be put back (descriptors, threads) ends the child once its outcomes are recorded.
"""

import _signal  # type: ignore[import-not-found]  # typeshed has no stub of it
import contextlib
import ctypes
import fcntl
import multiprocessing
import multiprocessing.resource_tracker
import os
import resource
import select
import signal
import sys
import threading
import time
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]  # not in the stubs
from pathlib import Path
from typing import Any, TextIO

import structlog
from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # its stubs leave it out

log = structlog.get_logger(__name__)

TERM_SECONDS = 1.0  # how long a left process may take to end by itself
MAX_THREADS_LEFT = 100  # a library's own pool of threads is smaller; a handler that leaks threads gets there
USED_DESCRIPTORS = 0.8  # of the limit: the child needs some to reach its database and its metrics
RESERVED_DESCRIPTORS = 16  # let go when a handler has used up all others, so that its outcome can be recorded
# What decides how this process ends and whether later tasks are interrupted. The stopping signals are `Stopper`'s.
KEPT_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
TIMER_SIGNALS = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
WATCHED_SIGNALS = tuple(map(int, (*KEPT_SIGNALS, *TIMER_SIGNALS)))
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


class Leftovers:
    """Puts a child of the prefork pool back into the state in which its handlers are to find it."""

    def __init__(self) -> None:
        # In the parent, in other pools, and in what a handler forks off there is nothing to put back.
        self._has_begun = False
        os.register_at_fork(after_in_child=self._forget)
        self._handlers: tuple[Any, ...] = ()  # of WATCHED_SIGNALS
        self._mask: set[int] = set()
        self._streams: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._directory = -1  # a descriptor of it
        self._umask = 0
        self._threads = 0
        self._descriptors = 0
        self._lowest: int | None = 0  # free descriptor after the last attempt; None: there was none
        self._reserve: list[int] = []
        self._standard = select.poll()  # tells of both whether they are open, by one system call
        for number in (1, 2):
            self._standard.register(number, 0)

    def _forget(self) -> None:
        self._has_begun = False

    def begin(self) -> None:
        """Remember the state of this child; called once, before its first hint."""
        self._has_begun = True
        with contextlib.suppress(OSError):  # it leads a session already
            os.setpgid(0, 0)  # so that a kill reaches what its handlers start, too
        _adopt_orphans()
        _allow_processes()
        self._streams = {number: _copy_of(number) for number in (1, 2)}
        self._directory = _far_from_the_low_numbers(os.open(".", os.O_RDONLY | os.O_DIRECTORY))
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._threads = threading.active_count()
        self._reserve = [os.open(os.devnull, os.O_RDONLY) for _ in range(RESERVED_DESCRIPTORS)]
        self._descriptors = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * USED_DESCRIPTORS)

    def remember(self) -> None:
        """Note how signals are handled before the first hint: the pool sets its own after its child has begun."""
        if self._has_begun and not self._handlers:
            self._handlers = tuple(map(_signal.getsignal, WATCHED_SIGNALS))
            self._mask = _signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def clear_between(self) -> None:
        """Between two attempts of a chunk: what a tiny handler may well do is undone, in half of the time.

        A timer is looked for where its signal has got a handler, and a standard stream that was not closed is not
        compared. `clear` finds the rest a fifth of a second later.
        """
        if not self._has_begun:
            return
        if _has_children():
            _end_processes()
        if any(event & select.POLLNVAL for _, event in self._standard.poll(0)):
            self._put_streams_back()
        self._put_back()

    def clear(self) -> None:
        """After each attempt, or some of a chunk: their timers and processes end, the rest is as it was.

        It is written for speed: `_signal` answers numbers, where `signal` makes members of an enumeration of them in
        six times the time.
        """
        if not self._has_begun:
            return
        _stop_timers()
        self._lowest = _lowest_free_descriptor(self._streams[1][0])
        if self._reserve and self._lowest is None:
            for descriptor in self._reserve:
                os.close(descriptor)
            self._reserve = []
        if _has_children():
            _end_processes()
        self._put_streams_back()
        self._put_back()

    def reason_to_end(self) -> str | None:
        """Why this child must not run another hint, if so; by what its last attempt left."""
        if not self._has_begun:
            return None
        if terminate_handler_fired():
            return "a signal told it to end, and its handler went on"
        threads = threading.active_count() - self._threads
        if threads > MAX_THREADS_LEFT:
            return f"its handlers left {threads} threads running"
        if self._lowest is None or self._lowest > self._descriptors or not self._reserve:
            return "its handlers left too many files open"
        return None

    def _put_back(self) -> None:
        handlers = tuple(map(_signal.getsignal, WATCHED_SIGNALS))
        if handlers != self._handlers:
            self._put_signals_back(handlers)
        if _signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        if getattr(sys.stdout, "closed", True):
            sys.stdout = _writing_to(1)
        if getattr(sys.stderr, "closed", True):
            sys.stderr = _writing_to(2)
        with contextlib.suppress(OSError):  # a handler that closed it has closed so much that this child is replaced
            os.fchdir(self._directory)
        os.umask(self._umask)

    def _put_signals_back(self, handlers: tuple[Any, ...]) -> None:
        for number, now, then in zip(WATCHED_SIGNALS, handlers, self._handlers, strict=False):
            if now == then:
                continue
            if number in TIMER_SIGNALS:  # whose handlers may stay
                _stop_timers()
            else:
                signal.signal(number, then)

    def _put_streams_back(self) -> None:
        for number, (copy, identity) in self._streams.items():
            if _identity(number) != identity:
                os.dup2(copy, number)


def _stop_timers() -> None:
    for timer in TIMERS:
        signal.setitimer(timer, 0)


def _allow_processes() -> None:
    """Let multiprocessing start processes from this one, which billiard has made.

    billiard calls its children daemons, which may have no children; and its key of the process refuses to be handed to
    a process that is started anew.
    """
    process: Any = multiprocessing.current_process()  # the stubs leave out what is private
    process._config["daemon"] = False
    process._config["authkey"] = AuthenticationString(process.authkey)


def _lowest_free_descriptor(some: int) -> int | None:
    """About how many descriptors are in use, of which `some` is one; None where none is left."""
    try:
        lowest = os.dup(some)
    except OSError:
        return None
    os.close(lowest)
    return lowest


def _adopt_orphans() -> None:
    """Have what a handler's processes leave behind handed to this child, so that it can end them (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _writing_to(number: int) -> TextIO:
    """A standard stream in place of one that was closed."""
    return open(number, "w", buffering=1, closefd=False)


def _far_from_the_low_numbers(descriptor: int) -> int:
    """The same under another number; a handler that closes what it did not open begins with the low ones."""
    far = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100)
    os.close(descriptor)
    return far


def _copy_of(number: int) -> tuple[int, tuple[int, ...]]:
    """A duplicate of a standard stream far from the low numbers, and what tells whether the stream is still that."""
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100), _identity(number)
    except OSError:  # started without it
        fallback = os.open(os.devnull, os.O_RDWR)
        os.dup2(fallback, number)
        return fallback, _identity(number)


def _identity(number: int) -> tuple[int, ...]:
    """Inode and device of what an open descriptor is; blank for one that is closed."""
    try:
        return os.fstat(number)[1:3]
    except OSError:
        return ()


def _has_children() -> bool:
    """Whether this process has any, running or ended; takes nothing from a handler that waits for one."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _end_processes() -> None:
    """End all processes below this one: those that its handler started, and those that these left behind."""
    left = _until_none(signal.SIGTERM, TERM_SECONDS) and _until_none(signal.SIGKILL, TERM_SECONDS)
    if left:
        log.error("processes_left", pids=left, why="they did not end on SIGKILL")


def _until_none(number: signal.Signals, seconds: float) -> list[int]:
    """Signal each child once, and those that appear while they end; returns what is left after so many seconds."""
    told: set[int] = set()
    end = time.monotonic() + seconds
    while (alive := _children()) and time.monotonic() < end:
        for pid in alive:
            if pid not in told:
                told.add(pid)
                log.warning("process_ended", pid=pid, signal=number.name, why="its task has ended")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        time.sleep(0.01)
    return alive


def _children() -> list[int]:
    """Processes below this one that run; those that have ended are reaped on the way."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    tracker: Any = multiprocessing.resource_tracker._resource_tracker  # the stubs leave out its process id
    return [pid for pid in _pids_below(os.getpid()) if pid != tracker._pid]


def _pids_below(parent: int) -> list[int]:
    """The children of all threads of a process, as Linux lists them; elsewhere none are known."""
    pids: list[int] = []
    for listing in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids.extend(int(pid) for pid in listing.read_text().split())
    return pids


LEFTOVERS = Leftovers()
