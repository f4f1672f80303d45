"""The faults of the soak: each lasts some seconds, and leaves nothing behind but what it did to the others."""

import contextlib
import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator

import psutil

from tests.chaos.database_faults import held, read_only, run_on_server
from tests.chaos.faults import all_frozen
from tests.chaos.soak.installation import Installation
from tests.support.servers.processes import kill_all
from tests.support.servers.slow_clients import HALF_HEAD, HALF_LOG_IN, SlowClients

SECONDS = (2.0, 6.0)  # how long a fault that lasts does so
HOUR = 3_600
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = '{}'"
FILL_AT_ONCE = 1024 * 1024


class SoakFaults:
    """Every kind by its name; each returns in words what it did."""

    def __init__(self, installation: Installation, chance: random.Random) -> None:
        self._there, self._chance = installation, chance

    @property
    def kinds(self) -> dict[str, Callable[[], str]]:
        """Those that can be done here."""
        kinds = {
            "worker child killed": lambda: self._kill(self._child_of_a_worker),
            "worker parent killed": lambda: self._kill(self._worker),
            "worker asked to end": self._worker_asked_to_end,
            "dispatcher killed": lambda: self._kill(lambda: self._main("dispatcher")),
            "sinks killed": lambda: self._kill(lambda: self._main("sinks")),
            "API process killed": lambda: self._kill(self._api_process),
            "API killed with all its processes": self._api_killed,
            "worker child frozen": lambda: self._freeze(self._child_of_a_worker),
            "worker parent frozen": lambda: self._freeze(self._worker),
            "dispatcher frozen": lambda: self._freeze(lambda: self._main("dispatcher")),
            "API process frozen": lambda: self._freeze(self._api_process),
            "sinks frozen": lambda: self._freeze(lambda: self._main("sinks")),
            "broker restarted": self._broker_restarted,
            "broker killed": self._broker_killed,
            "broker frozen": lambda: self._lasting(all_frozen([self._there.rabbitmq.pid])),
            "broker in memory alarm": lambda: self._lasting(self._there.rabbitmq.memory_alarm()),
            "broker connections closed": self._broker_connections_closed,
            "hints purged": lambda: f"{self._there.stack.broker.purge()} hints",
            "database restarted": self._database_restarted,
            "database killed": self._database_killed,
            "database frozen": lambda: self._lasting(all_frozen([self._there.postgres.pid])),
            "database connections killed": self._database_connections_killed,
            "tasks locked": lambda: self._lasting(held(self._there.stack.database_url, "LOCK TABLE tasks")),
            "rows of tasks locked": lambda: self._lasting(
                held(self._there.stack.database_url, "SELECT FROM tasks WHERE due_at IS NOT NULL FOR UPDATE")
            ),
            "database read-only": lambda: self._lasting(read_only(self._there.postgres)),
            "clock set": self._clock_set,
            "slow clients": self._slow_clients,
        }
        if self._there.metrics is not None:
            kinds["full METRICS_DIR"] = lambda: self._lasting(self._full_metrics())
        return kinds

    # --- whom it hits ------------------------------------------------------------------------------------------------

    def _main(self, name: str) -> psutil.Process:
        return psutil.Process(self._there.processes[name].pid)

    def _worker(self) -> psutil.Process:
        return self._main(self._chance.choice(("worker 1", "worker 2")))

    def _child_of_a_worker(self) -> psutil.Process:
        return self._chance.choice(self._worker().children())

    def _api_process(self) -> psutil.Process:
        return self._chance.choice(self._main("api").children())

    # --- what happens ------------------------------------------------------------------------------------------------

    def _kill(self, victim: Callable[[], psutil.Process]) -> str:
        process = victim()
        process.kill()
        return f"pid {process.pid}"

    def _freeze(self, victim: Callable[[], psutil.Process]) -> str:
        process = victim()
        process.suspend()
        try:
            return f"pid {process.pid}, {self._wait()}"
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _lasting(self, fault: contextlib.AbstractContextManager[None]) -> str:
        with fault:
            return self._wait()

    def _wait(self) -> str:
        seconds = self._chance.uniform(*SECONDS)
        time.sleep(seconds)
        return f"for {seconds:.1f} s"

    def _worker_asked_to_end(self) -> str:
        process = self._worker()
        process.send_signal(signal.SIGTERM)
        return f"pid {process.pid}"

    def _api_killed(self) -> str:
        process = self._main("api")
        kill_all([process, *process.children(recursive=True)])
        return f"pid {process.pid} and its children"

    def _broker_restarted(self) -> str:
        self._there.rabbitmq.restart()
        return "as an operator would"

    def _broker_killed(self) -> str:
        self._there.rabbitmq.kill()
        self._there.rabbitmq.start().wait_until_ready()
        return "and started again"

    def _broker_connections_closed(self) -> str:
        self._there.rabbitmq.close_connections()
        return "all of them"

    def _database_restarted(self) -> str:
        self._there.postgres.restart()
        return "as an operator would"

    def _database_killed(self) -> str:
        self._there.postgres.kill()
        self._there.postgres.start().wait_until_ready()
        return "and recovered"

    def _database_connections_killed(self) -> str:
        name = self._there.stack.database_url.rpartition("/")[2]
        run_on_server(self._there.postgres, END_SESSIONS.format(name))
        return "all of them"

    def _clock_set(self) -> str:
        hours = self._chance.choice((1, -1))
        self._there.clock_step.write_text(str(hours * HOUR))
        try:
            return f"by {hours} h, {self._wait()}"
        finally:
            self._there.clock_step.write_text("0")

    def _slow_clients(self) -> str:
        with SlowClients(self._there.stack.api.port, [HALF_HEAD] * 40 + [HALF_LOG_IN] * 20, trickle=b"x", every=1.0):
            return f"60 of them, {self._wait()}"

    @contextlib.contextmanager
    def _full_metrics(self) -> Iterator[None]:
        ballast = self._there.metrics / "ballast"
        with ballast.open("wb", buffering=0) as file:
            size = FILL_AT_ONCE
            while size >= 1:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        try:
            yield
        finally:
            ballast.unlink()
