"""An installation in a copy of the checkout: its `.env`, its containers, and what one asks of them."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.containers import documented
from tests.support.servers.databases import ROOT
from tests.support.servers.waiting import free_port, wait_for

PATH = f"/opt/docker/bin:{os.environ['PATH']}"  # where tests/containers/engine.sh puts it
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "var", "node_modules", "__pycache__", ".*_cache", ".env", "secrets", "backups", "screenshots"
)
PORTS = ("PORT", "STREAM_PORT", "FLOWER_PORT", "POSTGRES_PORT", "RABBITMQ_PORT", "RABBITMQ_MANAGEMENT_PORT")
PRODUCTION_PORTS = ("HTTPS_PORT", "HTTP_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
FINISHED = ("COMPLETED", "FAILED", "CANCELLED")


class Installation:
    """A project of Compose by a name of its own; what a document calls `taskledger_...` is named after it here."""

    def __init__(self, folder: Path, project: str, **settings: str) -> None:
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
        self.folder, self.project = folder, project
        self.ports = {name: free_port() for name in (*PORTS, *PRODUCTION_PORTS)}
        self.http = requests.Session()
        self.http.trust_env = False  # a bundle of certificates that a variable names would take precedence
        self.url = f"http://127.0.0.1:{self.ports['PORT']}"
        self.started_at = time.monotonic()
        given = {"COMPOSE_PROJECT_NAME": project, "TAG": project, **self.ports, **settings}
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))

    def follow(self, commands: Iterable[str], *, here: dict[str, str] | None = None) -> str:
        """Run what a page shows, a line at a time in one shell; `here` replaces what is of this machine."""
        commands = list(commands)
        documented.run.update(commands)
        script = "\n".join(commands).replace("taskledger_", f"{self.project}_")
        for theirs, ours in (here or {}).items():
            script = script.replace(theirs, ours)
        return self.run("bash", "-euc", script)

    def compose(self, *arguments: str, check: bool = True) -> str:
        """`docker compose ...`: what it printed. Raises AssertionError with what it complained about."""
        return self.run("docker", "compose", *arguments, check=check)

    def run(self, *command: str, check: bool = True, given: str = "") -> str:
        """Run a command in the checkout; `given` is what it reads."""
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=1500,
        )
        print(f"[{time.monotonic() - began:5.1f} s] {' '.join(command)[:160]}")
        assert done.returncode == 0 or not check, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the machine's own settings: `.env` says everything."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "DOCKER_HOST") if name in os.environ}
        return {**kept, "PATH": PATH}

    def containers(self, service: str, *, every: bool = False) -> list[str]:
        return self.compose("ps", "--quiet", *(["--all"] if every else []), service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        [found] = json.loads(self.run("docker", "inspect", container))
        return found

    def logs(self, container: str) -> list[str]:
        """The lines of one container, of both streams."""
        done = subprocess.run(["docker", "logs", container], env=self.environment, capture_output=True, text=True)
        return (done.stdout + done.stderr).splitlines()

    @contextmanager
    def followed(self, *services: str) -> Iterator[dict[str, Path]]:
        """The logs of the containers that these services have now, kept in files also when the containers are gone."""
        files, followers = {}, []
        for container in (each for name in services for each in self.containers(name)):
            files[container] = self.folder / f"{container[:12]}.log"
            with files[container].open("wb") as log:
                command = ["docker", "logs", "--follow", "--tail", "0", container]
                followers.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))
        try:
            yield files
        finally:
            for follower in followers:
                follower.terminate()
                follower.wait(10)

    def sql(self, query: str) -> list[list[str]]:
        """The rows of a query, as the superuser."""
        command = ("psql", "--no-psqlrc", "-U", "postgres", "-d", "taskledger", "-AtF", "\t")
        said = self.run("docker", "compose", "exec", "-T", "postgres", *command, given=query)
        return [line.split("\t") for line in said.splitlines()]

    def wait_until_healthy(self, *services: str, seconds: float = 240) -> None:
        """Return when every container of these services says so. Raises AssertionError with what they said."""

        def all_healthy() -> bool:
            states = [self.inspect(each)["State"] for name in services for each in self.containers(name)]
            healthy = [each.get("Health", {}).get("Status") == "healthy" for each in states]
            time.sleep(0.5)
            return len(healthy) >= len(services) and all(healthy)

        wait_for(all_healthy, timeout=seconds, what=f"{services} are healthy")

    def submit(self, type_: str, payload: Any, **more: Any) -> str:
        body = {"type": type_, "payload": payload, **more}
        answer = self.http.post(f"{self.url}/api/v1/tasks", json=body, timeout=30)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def task(self, task_id: str, *, wait: int = 0) -> dict[str, Any]:
        answer = self.http.get(f"{self.url}/api/v1/tasks/{task_id}", params={"wait": wait} if wait else {}, timeout=90)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ended(self, task_id: str, *, seconds: float = 120) -> dict[str, Any]:
        """The task when it is finished."""

        def finished() -> dict[str, Any] | None:
            task = self.task(task_id, wait=10)
            return task if task["status"] in FINISHED else None

        return wait_for(finished, timeout=seconds, what=f"task {task_id} is finished")

    def wait_until_completed(self, ids: Sequence[str], *, seconds: float = 240) -> None:
        """Each of these is COMPLETED, and was recorded as that once."""
        listed = ",".join(f"'{each}'" for each in ids)
        query = f"SELECT count(*) FROM tasks WHERE status = 'COMPLETED' AND id IN ({listed})"

        def how_many_are_missing() -> bool:
            time.sleep(1)
            return self.sql(query) == [[str(len(ids))]]

        wait_for(how_many_are_missing, timeout=seconds, what=f"{len(ids)} tasks are completed")
        recorded = f"SELECT count(*) FROM task_events WHERE status = 'COMPLETED' AND task_id IN ({listed})"
        assert self.sql(recorded) == [[str(len(ids))]], "an outcome was recorded twice"


@contextmanager
def installed(folder: Path, project: str, **settings: str) -> Iterator[Installation]:
    """An installation whose containers and volumes are gone afterwards."""
    installation = Installation(folder, project, **settings)
    try:
        yield installation
    finally:
        installation.compose("--profile", "monitoring", "down", "--volumes", "--timeout", "10", check=False)
