"""Edited files of task packages: tried in a process of their own, and only then given to the programs.

A generator, as the start-up is: the supervisor's loop takes one step a turn.
"""

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor.states import ProcessStates

from app.embedded.console import Console
from app.embedded.programs import TRIED_AGAIN
from app.embedded.settings import ROOT, EmbeddedSettings
from app.embedded.supervisor import EmbeddedSupervisor
from tasks import task_packages

LOOK_SECONDS = 0.5
STILL_SECONDS = 0.2
"""An editor may write a file in several steps, and several files."""
STARTED_ANEW = ("worker", "dispatcher")

Stamps = Mapping[Path, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Reload:
    """Looks at the files of the packages that are used, and lets the programs have what was edited."""

    settings: EmbeddedSettings
    supervisor: EmbeddedSupervisor
    console: Console

    def steps(self) -> Generator[bool, None, None]:
        """Endless; yields whether something is under way, so that the loop takes the next step at once."""
        places = watched()
        seen = stamps(places)
        while True:
            yield from _pause(LOOK_SECONDS, busy=False)
            found = stamps(places)
            if found == seen:
                continue
            while found != seen:
                seen = found
                yield from _pause(STILL_SECONDS, busy=True)
                found = stamps(places)
            yield from self._reload()

    def _reload(self) -> Generator[bool, None, None]:
        began = time.monotonic()
        fault = yield from self._fault()
        if fault is not None:
            self.console.say(f"The edited code is not used, and the programs go on with what they have:\n{fault}")
            return
        self.supervisor.process("api").signal(signal.SIGHUP)  # gunicorn starts a new process, then ends the old one
        for name in STARTED_ANEW:
            self.supervisor.process(name).stop()
        for name in STARTED_ANEW:
            yield from self._start_again(name)
        self.console.say(f"The edited code is used ({time.monotonic() - began:.1f} s)")

    def _start_again(self, name: str) -> Generator[bool, None, None]:
        process = self.supervisor.process(name)
        yield from _until(lambda: process.get_state() in (ProcessStates.STOPPED, ProcessStates.EXITED))
        if not self.supervisor.stopping_now:
            process.spawn()

    def _fault(self) -> Generator[bool, None, str | None]:
        """What the new code is refused for, in the words of the command that tried it."""
        log = self.settings.log_dir / f"{TRIED_AGAIN}.log"
        before = log.stat().st_size if log.exists() else 0
        process = self.supervisor.process(TRIED_AGAIN)
        process.spawn()
        yield from _until(lambda: process.get_state() not in (ProcessStates.STARTING, ProcessStates.RUNNING))
        if process.exitstatus == 0:
            return None
        text = log.read_text(errors="replace")[before:] if log.exists() else ""
        return text.strip() or f"flask --app app setup ended with status {process.exitstatus}"


def watched() -> list[Path]:
    """The folders (or files) of the packages that are used; in a checkout those of our own types, too."""
    names = task_packages.named(os.environ.get("TASK_PACKAGES", ""))
    places = [ROOT / "tasks" / "handlers", ROOT / "tasks" / "workflows"]
    for name in names:
        spec = importlib.util.find_spec(name.partition(".")[0])
        if spec is not None and spec.submodule_search_locations:
            places += map(Path, spec.submodule_search_locations)
        elif spec is not None and spec.origin:
            places.append(Path(spec.origin))
    return places


def stamps(places: list[Path]) -> Stamps:
    """When each Python file was changed last (ns), and its size."""
    files = (file for place in places for file in ([place] if place.is_file() else place.rglob("*.py")))
    found = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:  # it was just deleted
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found


def _pause(seconds: float, *, busy: bool) -> Generator[bool, None, None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield busy


def _until(condition: Callable[[], bool]) -> Generator[bool, None, None]:
    while not condition():
        yield True
