"""The start, step by step: stores, then migrations, then the services, each when what it needs is ready.

A generator: the supervisor's loop takes one step a turn, so that it keeps watching programs and signals meanwhile.
"""

import http.client
import json
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from supervisor.states import ProcessStates

from app import healthcheck
from app.embedded import postgres
from app.embedded.brokers import BROKERS
from app.embedded.console import Console
from app.embedded.credentials import Credentials
from app.embedded.programs import Program, Stage
from app.embedded.settings import EmbeddedSettings, readable
from app.embedded.supervisor import EmbeddedSupervisor

STORE_SECONDS = 60.0
READY_SECONDS = 30.0
PROBE_SECONDS = 0.1
SHOWN_LINES = 15

Result = TypeVar("Result")
Waiting = Generator[None, None, Result]
"""A step: yields while it waits, then returns its result."""


@dataclass(frozen=True, kw_only=True)
class Startup:
    """The steps of one start."""

    settings: EmbeddedSettings
    credentials: Credentials
    programs: tuple[Program, ...]
    supervisor: EmbeddedSupervisor
    console: Console

    def steps(self) -> Waiting[None]:
        """Yield while waiting; stops the supervisor when a step fails."""
        for step in (self._stores, self._migrate, self._services):
            fault = yield from step()
            if fault is not None:
                self.console.say(fault)
                self.supervisor.stop(exit_status=1)
                return
        self.console.ready()

    def _stores(self) -> Waiting[str | None]:
        stores = self._start(Stage.STORE)
        probes: dict[str, Callable[[], bool]] = {
            "postgres": lambda: postgres.answers(self.credentials.database_url(self.settings)),
            self.settings.broker: lambda: BROKERS[self.settings.broker].answers(self.settings, self.credentials),
        }
        for store in stores:
            if not (yield from _within(STORE_SECONDS, probes[store.name])):
                return self._failure(store, f"{store.name} did not become ready in {STORE_SECONDS:.0f} s")
            self.console.say(f"{store.name} is ready")
        return None

    def _migrate(self) -> Waiting[str | None]:
        started = self._start(Stage.ONCE)
        self._start(Stage.WATCHER)
        for program in started:
            process = self.supervisor.process(program.name)
            while process.get_state() in (ProcessStates.STARTING, ProcessStates.RUNNING):
                yield
            if process.exitstatus != 0:
                return self._failure(program, f"{program.name} failed")
        self.console.say("The tables are up to date")
        return None

    def _services(self) -> Waiting[str | None]:
        """Never gives up: the supervisor starts what fails again, and a person may mend it meanwhile."""
        self._start(Stage.SERVICE)
        while not (yield from _within(READY_SECONDS, lambda: self._fault() is None)):
            fault = self._fault()
            if fault is None:  # ready after all, a moment too late
                return None
            self.console.say(f"Still not ready: {fault} (see {readable(self.settings.log_dir)}/*.log)")
        return None

    def _fault(self) -> str | None:
        return api_fault(self.settings.api_url) or healthcheck.fault(
            "worker", self.credentials.database_url(self.settings)
        )

    def _start(self, stage: Stage) -> list[Program]:
        programs = [program for program in self.programs if program.stage is stage]
        for program in programs:
            self.supervisor.process(program.name).spawn()
        return programs

    def _failure(self, program: Program, what: str) -> str:
        log = self.settings.log_dir / f"{program.name}.log"
        if not log.exists():
            return f"{what}: {self.supervisor.process(program.name).spawnerr}"
        with log.open(errors="replace") as lines:
            last = "".join(f"  {line}" for line in deque(lines, maxlen=SHOWN_LINES))
        return f"{what}. The end of {readable(log)}:\n{last}"


def api_fault(url: str) -> str | None:
    """What keeps the service from being ready, as /health/ready says it; None when it is ready."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=3)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"the API does not answer ({error})"
    finally:
        connection.close()
    return None if answer.status == http.HTTPStatus.OK else _summary(text)


def _summary(text: str) -> str:
    try:
        return " ".join(json.dumps(json.loads(text)).split())
    except ValueError:
        return text[:200]


def _within(seconds: float, condition: Callable[[], bool]) -> Waiting[bool]:
    """Yield until the condition holds (True) or the time is up (False); ask it every PROBE_SECONDS."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if condition():
            return True
        ask_again = time.monotonic() + PROBE_SECONDS
        while time.monotonic() < ask_again:
            yield
    return False
