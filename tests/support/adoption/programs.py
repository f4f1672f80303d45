"""Workers of the application: Celery's own, and ours."""

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.stack import Stack

APP = "tests.support.adoption.application"


def entry_points(directory: Path) -> Path:
    """A folder for PYTHONPATH in which Celery finds our command, as if the SDK of this tree were installed."""
    project = tomllib.loads((ROOT / "sdk" / "python" / "pyproject.toml").read_text())["project"]
    info = directory / "taskledger_sdk-0.0.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: taskledger-sdk\nVersion: 0.0.0\n")
    groups = project["entry-points"].items()
    lines = [line for group, names in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in names.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return directory


def environment_of(directory: Path, **said: str) -> dict[str, str]:
    """The variables of a program of the application; its own files are below the directory."""
    path = os.pathsep.join([str(entry_points(directory / "installed")), str(ROOT), str(ROOT / "sdk" / "python")])
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "TZ": "UTC", **said}


def adopted_environment(directory: Path, stack: Stack) -> dict[str, str]:
    """Of a program of the adopted application; the broker that its configuration names is none."""
    key = str(stack.http.headers["Authorization"]).removeprefix("Bearer ")
    return environment_of(
        directory,
        ADOPTED="1",
        ADOPTION_BROKER="amqp://nobody@127.0.0.1:1//",
        ADOPTION_RECORD=str(directory / "record"),
        TASKLEDGER_URL=stack.api.url,
        TASKLEDGER_API_KEY=key,
    )


class AppWorker(Process):
    """A worker of the application, by either command."""

    def __init__(
        self,
        command: str,
        environment: Mapping[str, str],
        *options: str,
        app: str = APP,
        concurrency: int = 2,
        directory: Path = ROOT,
    ) -> None:
        words = [sys.executable, "-m", "celery", "-A", app, command, "--loglevel", "INFO"]
        words += ["--concurrency", str(concurrency), "-n", f"{command}-{uuid4().hex[:6]}@%h", *options]
        self._says = " ready." if command == "worker" else " task types, "
        super().__init__(words, name=f"celery-{command}", environment=environment, directory=directory)

    def is_ready(self) -> bool:
        return self._says in self.log_of_this_run
