"""Faults, each a few lines, and the one who brings killed processes back as a supervisor would."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import psutil

from tests.chaos.ledger import Ledger
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.processes import Process, kill_all
from tests.support.servers.programs import Worker
from tests.support.servers.rabbitmq import PrivateRabbitMQ
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for


class Restarter:
    """Starts again whatever has ended. What it started ends with it: the kernel goes by the thread that forked."""

    def __init__(self, processes: Sequence[Process], ledger: Ledger) -> None:
        self._processes, self._ledger = processes, ledger
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="restarter", daemon=True)
        self.restarts = 0

    def __enter__(self) -> "Restarter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def wait_until_all_are_ready(self) -> None:
        for process in self._processes:
            wait_for(lambda process=process: process.is_running, timeout=10, what=f"{process.name} is started again")
            process.wait_until_ready()

    def _run(self) -> None:
        while not self._stopping.wait(0.2):
            for process in self._processes:
                if not process.is_running:
                    process.wait()
                    process.start()
                    self.restarts += 1


class Faults:
    """What can go wrong with an installation."""

    def __init__(
        self,
        stack: Stack,
        workers: Sequence[Worker],
        postgres: PrivatePostgres,
        rabbitmq: PrivateRabbitMQ,
        *,
        accepted: Callable[[], int],
        chance: random.Random,
    ) -> None:
        self._stack, self._workers = stack, workers
        self._postgres, self._rabbitmq = postgres, rabbitmq
        self._accepted, self._chance = accepted, chance

    def worker_parent_killed(self) -> str:
        worker = self._chance.choice(self._workers)
        return _kill(worker.pid)

    def worker_child_killed(self) -> str:
        children = wait_for(self.child_pids, timeout=60, what="a worker that was started again has children")
        return _kill(self._chance.choice(children))

    def child_pids(self) -> list[int]:
        """Of all workers; none while one of them is not there."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [pid for worker in self._workers for pid in worker.child_pids()]
        return []

    def dispatcher_killed(self) -> str:
        return _kill(self._stack.dispatcher.pid)

    def broker_killed(self) -> str:
        """kill -9; the queues are durable and the hints persistent, but what was in flight is gone."""
        self._rabbitmq.kill()
        self._rabbitmq.start().wait_until_ready()
        return "and started again"

    def queue_purged(self) -> str:
        return f"{self._stack.broker.purge()} hints thrown away"

    def api_killed_between_commit_and_publish(self) -> str:
        """With the broker frozen, its publisher waits for a confirmation while requests go on to be accepted."""
        self._rabbitmq.pause()
        try:
            before = self._accepted()
            wait_for(lambda: self._accepted() >= before + 10, timeout=20, what="submissions that are not published")
            api = psutil.Process(self._stack.api.pid)
            kill_all([api, *api.children(recursive=True)])
        finally:
            self._rabbitmq.resume()
        return f"{self._accepted() - before} tasks accepted and not published"

    def postgres_restarted(self) -> str:
        self._postgres.restart()
        return "as an operator would"

    def postgres_killed(self) -> str:
        """kill -9 of the server and all of its backends; it recovers from its log."""
        self._postgres.kill()
        self._postgres.start().wait_until_ready()
        return "and recovered"


ONCE = ("broker_killed", "postgres_restarted", "postgres_killed")
SEVERAL = {
    "worker_parent_killed": 4,
    "worker_child_killed": 6,
    "dispatcher_killed": 3,
    "queue_purged": 4,
    "api_killed_between_commit_and_publish": 2,
}


def in_random_order(chance: random.Random) -> list[str]:
    """The names of the faults of one storm."""
    names = [*ONCE, *(name for name, times in SEVERAL.items() for _ in range(times))]
    chance.shuffle(names)
    return names


def strike(faults: Faults, names: Sequence[str], ledger: Ledger, *, pause_seconds: float) -> None:
    """One after the other, with a pause between."""
    for name in names:
        what = getattr(faults, name)()
        ledger.note(f"{name.replace('_', ' ')}: {what}")
        time.sleep(pause_seconds)


@contextlib.contextmanager
def all_frozen(pids: Iterable[int]) -> Iterator[None]:
    """SIGSTOP for servers and all that they forked: connections stay, and nothing is answered."""
    mains = [psutil.Process(pid) for pid in pids]
    processes = [each for main in mains for each in (main, *main.children(recursive=True))]
    for each in processes:
        each.suspend()
    try:
        yield
    finally:
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.resume()


def _kill(pid: int) -> str:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return f"pid {pid}"
