"""One process in a session of its own: its log in a file, ended by its pid, never outliving the tests."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.support.servers.waiting import wait_for

PR_SET_PDEATHSIG = 1
TAIL_LINES = 40

RUNNING: "list[Process]" = []
"""Every process that was started and not yet ended, so that a failed test can show their logs."""
ENDED: dict[str, str] = {}
"""The last lines of those that ended since the test began, by name and pid."""


def _die_with_the_tests() -> None:
    """Between fork and exec: the kernel kills the child when the tests are killed (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """kill -9 for each that still runs, and wait until they are gone or only wait to be reaped."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil compares the start time too: a reused pid is left alone
            process.kill()
    wait_for(lambda: not any(map(runs, processes)), timeout=10, what="killed processes are gone")


def runs(process: psutil.Process) -> bool:
    """Whether it still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Process:
    """A command that runs in the background."""

    start_seconds = 30.0
    stop_signal = signal.SIGTERM

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        name: str,
        environment: Mapping[str, str],
        directory: Path | None = None,
        popen_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.directory = directory
        self._popen_options = dict(popen_options or {})
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_path: Path | None = None  # made at the first start: not every process of a stack is started
        self._log_start = 0
        self.started_at = datetime.now(UTC)

    @property
    def pid(self) -> int:
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen.pid

    @property
    def log(self) -> str:
        """Everything it has written, over all of its starts."""
        return "" if self._log_path is None else self._log_path.read_text(errors="replace")

    @property
    def log_of_this_run(self) -> str:
        return self.log[self._log_start :]

    @property
    def tail(self) -> str:
        return "\n".join(self.log.splitlines()[-TAIL_LINES:])

    @property
    def title(self) -> str:
        return f"{self.name} ({self.pid})"

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def is_ready(self) -> bool:
        """Whether it does its work now; the kinds of process know better."""
        return True

    def start(self) -> Self:
        """Start it and return at once; also again, after it has ended."""
        assert not self.is_running, f"{self.name} runs already"
        self._log_start, self.started_at = len(self.log), datetime.now(UTC)
        if self._log_path is None:
            log_file, path = tempfile.mkstemp(prefix=f"taskledger-{self.name}-", suffix=".log")
            os.close(log_file)
            self._log_path = Path(path)
        with self._log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                [os.fspath(part) for part in self.command],
                cwd=self.directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C for pytest is none for the process
                preexec_fn=_die_with_the_tests,
                **self._popen_options,
            )
        RUNNING.append(self)
        return self

    def wait_until_ready(self) -> Self:
        """Return when it does its work. Raises AssertionError with the end of its log."""

        def ready_or_ended() -> bool:
            return not self.is_running or self.is_ready()

        try:
            wait_for(ready_or_ended, timeout=self.start_seconds, what=f"{self.name} is ready")
            assert self.is_running, f"{self.name} ended with status {self.wait()}"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail}") from None
        return self

    def send(self, number: signal.Signals) -> None:
        """Signal this process alone, not its children."""
        self.popen.send_signal(number)

    def pause(self) -> None:
        """Freeze the process; `resume` lets it go on where it was."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def stop(self, *, timeout: float = 30.0) -> int:
        """Ask it to end as an operator would, wait, and return its exit status."""
        self.send(self.stop_signal)
        return self.wait(timeout=timeout)

    def kill(self) -> None:
        """kill -9, for the process itself; wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, *, timeout: float = 10.0) -> int:
        """Wait for the end and return the exit status."""
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout} s\n{self.tail}") from None
        if self in RUNNING:
            RUNNING.remove(self)
        return status

    def child_pids(self) -> list[int]:
        """Its children, theirs, and so on: for a worker, the processes that run the handlers."""
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def end(self) -> None:
        """Whatever state it is in: gone afterwards, with everything that it started."""
        if self.is_running:
            children = psutil.Process(self.pid).children(recursive=True)
            self.kill()
            kill_all(children)
        if self._popen is not None:
            ENDED[self.title] = self.tail
        if self in RUNNING:
            RUNNING.remove(self)
        if self._log_path is not None:
            self._log_path.unlink(missing_ok=True)

    @property
    def popen(self) -> "subprocess.Popen[bytes]":
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen

    def __enter__(self) -> Self:
        if not self.is_running:
            self.start()
        return self.wait_until_ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
