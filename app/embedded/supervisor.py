"""The supervisor package's supervisord, run in this process: it spawns, watches, restarts and stops in order.

Ours adds five things: a start that waits for what it needs, an immediate answer to signals, an end at once on the
second Ctrl-C or when stopping takes too long, programs that stop together, and programs that end when the supervisor
itself is killed.
"""

import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from supervisor import events
from supervisor.medusa.asyncore_25 import ExitNow
from supervisor.options import ServerOptions
from supervisor.process import Subprocess
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from app.embedded.programs import Program, Stage
from app.embedded.waking_poller import WakingPoller

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)  # HUP: the terminal was closed
PR_SET_PDEATHSIG = 1
LAST_SECONDS = 2.0
SAME_SIGNAL_SECONDS = 0.5
"""Wrappers such as timeout(1) send a signal to the process and to its group: that is one Ctrl-C, not two."""


class Options(ServerOptions):
    """supervisord's settings and system calls, with each program's own environment."""

    def __init__(self, programs: Mapping[str, Program]) -> None:
        super().__init__()
        self._programs = programs
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._supervisor_pid = os.getpid()
        self.poller = WakingPoller(self.poller)

    def stage_of(self, group: Any) -> Stage:
        """When the one program of a group starts; groups have its name."""
        return self._programs[group.config.name].stage

    def execve(self, filename: str, argv: list[str], env: dict[str, str]) -> None:
        """Become the program; called in the child, after it has its group and its account."""
        program = self._programs[env["SUPERVISOR_PROCESS_NAME"]]
        if self._libc is not None:  # PostgreSQL ends its sessions cleanly; the others must free their ports at once
            last_signal = signal.SIGINT if program.name == "postgres" else signal.SIGKILL
            self._libc.prctl(PR_SET_PDEATHSIG, last_signal)
            if os.getppid() != self._supervisor_pid:  # it was killed before we asked to be told
                self._exit(1)
        super().execve(filename, argv, dict(program.environment))


class EmbeddedSupervisor(Supervisor):
    """Runs the start-up steps, then the programs, until a signal or `stop`."""

    options: Options

    def __init__(
        self,
        options: Options,
        *,
        on_event: Callable[[events.Event], None],
        say: Callable[[str], None],
        stop_seconds: float = math.inf,
    ) -> None:
        """`stop_seconds`: how long all of the programs together may take to end."""
        super().__init__(options)
        self.exit_status = 0
        self._stop_seconds = stop_seconds
        self._stopping_since: float | None = None
        self._asked_at = 0.0
        self.start_up: Iterator[None] = iter(())
        self.reload: Iterator[bool] = iter(())
        """Steps that begin when the start-up has ended; each says whether something is under way."""
        self._on_event = on_event
        self._say = say

    def runforever(self) -> None:
        """Run the programs until the ordered stop has ended, with `on_event` told of every event."""
        events.subscribe(events.Event, self._on_event)
        super().runforever()

    def process(self, name: str) -> Subprocess:
        """The state of one program."""
        return self.process_groups[name].processes[name]

    @property
    def stopping_now(self) -> bool:
        """Whether the ordered stop has begun."""
        return self.options.mood < SupervisorStates.RUNNING

    def stop(self, *, exit_status: int) -> None:
        """Begin the ordered stop; the loop goes on until every program is gone."""
        self.exit_status = exit_status
        self._stopping_since = self._stopping_since or time.monotonic()
        self.options.mood = SupervisorStates.SHUTDOWN

    def ordered_stop_groups_phase_1(self) -> None:
        """Ask those that are next to end: whatever uses the stores together, then these one after the other."""
        users = [each for each in self.stop_groups or () if self.options.stage_of(each) is not Stage.STORE]
        for group in users or (self.stop_groups or ())[-1:]:
            group.stop_all()

    def tick(self, now: float | None = None) -> None:
        """Take one start-up step in each turn of the loop."""
        super().tick(now)
        if self._stopping_since is not None and time.monotonic() - self._stopping_since > self._stop_seconds:
            self._end_at_once(f"Not everything has ended within {self._stop_seconds:.0f} s.", exit_status=1)
        finished = object()
        starting = not self.stopping_now and next(self.start_up, finished) is not finished
        reloading = not (starting or self.stopping_now) and next(self.reload, False)
        self.options.poller.impatient = starting or reloading or self.stopping_now

    def handle_signal(self) -> None:
        """Begin the ordered stop on the first signal, and end everything at once on the second Ctrl-C."""
        received = self.options.get_signal()
        if received not in STOP_SIGNALS:
            return
        now = time.monotonic()
        if not self.stopping_now:
            self._asked_at = now
            self._say("Stopping; running tasks finish or are given back. Ctrl-C again ends everything at once.")
            self.stop(exit_status=0)
        elif received == signal.SIGINT and now - self._asked_at > SAME_SIGNAL_SECONDS:
            self._end_at_once("Ctrl-C again.", exit_status=130)

    def _end_at_once(self, why: str, *, exit_status: int) -> None:
        """Kill what still runs. PostgreSQL gets its "immediate" stop: it repairs itself at the next start."""
        self._say(f"{why} Ending at once.")
        running = [process for group in self.process_groups.values() for process in group.processes.values()]
        for process in (process for process in running if process.pid):
            with suppress(ProcessLookupError):
                if process.config.name == "postgres":
                    os.kill(process.pid, signal.SIGQUIT)
                else:
                    os.killpg(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + LAST_SECONDS
        while any(process.pid for process in running) and time.monotonic() < deadline:
            time.sleep(0.02)
            self.reap()
        for process in (process for process in running if process.pid):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self.exit_status = exit_status
        raise ExitNow
