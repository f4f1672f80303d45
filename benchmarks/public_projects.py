"""Public Celery projects under Celery's own worker and under `celery -A … ledger`: what of them is the same.

    python -m benchmarks.public_projects celery=DIR flower=DIR flask-celery-example=DIR flask-celery=DIR [--tests WORD]

Each DIR is a checkout, which is imported as it is; none of it is copied. This is how to get them:

    git clone https://github.com/celery/celery && git -C celery checkout 5dc781f0b    # only t/ is wanted: see below
    git clone https://github.com/mher/flower && git -C flower checkout e6cf8ef7
    git clone https://github.com/miguelgrinberg/flask-celery-example && git -C flask-celery-example checkout 76f785eb
    git clone https://github.com/testdrivenio/flask-celery && git -C flask-celery checkout 5c66be55

The installed Celery runs everything, so that celery=DIR is a folder that holds t/ alone: `git archive 5dc781f0b t`.
flask-celery-example needs Flask-Mail on PYTHONPATH. Their own tests are run, and the calls in benchmarks/public.

Starts PostgreSQL, RabbitMQ, Redis (redis-server), API, worker and dispatcher of its own, as the tests do. The tests of
Celery have its worker in their own process; the ledger's is always another process, as in an installation.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.latency import installation
from tests.support.adoption.programs import AppWorker, environment_of
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.rabbitmq import PrivateRabbitMQ, find_scripts
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import free_port

CALLS = ROOT / "benchmarks" / "public"
WORKER_APP = "benchmarks.public.application"
SIDES = ("celery", "ledger")


@dataclass(frozen=True, kw_only=True)
class Project:
    """Where its application is, and the tests that call its tasks: its own, and ours."""

    app: str
    tests: Sequence[str]
    has_own_worker: bool = False
    """Whether its tests start a worker of Celery by themselves."""
    environment: tuple[tuple[str, str], ...] = ()


PROJECTS = {
    "celery": Project(
        app="t.integration.tasks",
        tests=("t/integration/test_tasks.py", "t/integration/test_canvas.py"),
        has_own_worker=True,
    ),
    "flower": Project(app="tasks:app", tests=(f"{CALLS}/calls_flower.py",)),
    "flask-celery-example": Project(app="app:celery", tests=(f"{CALLS}/calls_flask_celery_example.py",)),
    "flask-celery": Project(
        app="project.server.tasks:celery",
        tests=(f"{CALLS}/calls_flask_celery.py", "project/tests/test_tasks.py"),
        environment=(("APP_SETTINGS", "project.server.config.DevelopmentConfig"),),
    ),
}
FOLDERS = {"flower": "examples"}
"""Below a checkout."""


class Redis(Process):
    """For results of Celery, and for tasks that write into it."""

    def __init__(self) -> None:
        self.port = free_port()
        program = shutil.which("redis-server")
        if program is None:
            sys.exit("Redis is needed: install redis-server")
        words = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        super().__init__(words, name="redis", environment={"PATH": os.defpath})

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sides, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="+", metavar="NAME=DIR", help=f"names: {', '.join(PROJECTS)}")
    parser.add_argument("--tests", default="", metavar="WORD", help="only those whose name holds it, as pytest -k")
    parser.add_argument("--seconds", default="100", help="how long a test may take; refused calls are waited for")
    options = parser.parse_args(arguments)
    with ExitStack() as closing:
        rabbitmq = closing.enter_context(private_rabbitmq())
        stack = closing.enter_context(installation())
        for each in options.projects:
            name, _, directory = each.partition("=")
            given = {"PUBLIC_SECONDS": options.seconds, "PUBLIC_WORD": options.tests}
            found = [run(side, name, Path(directory), given, stack, rabbitmq) for side in SIDES]
            print_table(name, *found)
    return 0


@contextmanager
def private_rabbitmq() -> Iterator[PrivateRabbitMQ]:
    """One for both: the installation has a virtual host, and so has each run of Celery."""
    scripts = find_scripts()
    if scripts is None:
        sys.exit("RabbitMQ is needed: install rabbitmq-server")
    with PrivateRabbitMQ(scripts) as server:
        os.environ["TEST_BROKER_URL"] = server.new_url()
        yield server


Outcomes = dict[str, tuple[str, str]]


def run(
    side: str, name: str, checkout: Path, given: Mapping[str, str], stack: Stack, rabbitmq: PrivateRabbitMQ
) -> Outcomes:
    """The outcome of each test, with what its error says."""
    project = PROJECTS[name]
    directory = (checkout / FOLDERS.get(name, "")).resolve()
    with TemporaryDirectory() as folder, Redis() as redis:
        environment = environment_for(side, project, directory, Path(folder), stack, rabbitmq.new_url(), redis.port)
        environment |= given
        has_worker = side == "ledger" or not project.has_own_worker
        command = "ledger" if side == "ledger" else "worker"
        of_worker = {**environment, "PUBLIC_WORKER": "1"}
        worker = AppWorker(command, of_worker, app=WORKER_APP, concurrency=1, directory=directory)
        with worker if has_worker else nullcontext():
            words = pytest_command(project, given["PUBLIC_WORD"])
            subprocess.run(words, cwd=directory, env=environment, stdout=sys.stderr, check=False)
        return outcomes(Path(environment["PUBLIC_REPORT"]))


def environment_for(
    side: str, project: Project, directory: Path, folder: Path, stack: Stack, broker: str, redis_port: int
) -> dict[str, str]:
    """What both the worker and the tests have; the adopted application has a broker that no worker of Celery reads."""
    redis = f"redis://127.0.0.1:{redis_port}/0"
    made = environment_of(
        folder, PUBLIC_APP=project.app, PUBLIC_REPORT=str(folder / "report"), **dict(project.environment)
    )
    made |= {"TEST_BROKER": broker, "CELERY_BROKER_URL": broker, "TEST_BACKEND": redis, "CELERY_RESULT_BACKEND": redis}
    made |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_port)}
    made["C_FORCE_ROOT"] = "1"  # flower's example accepts pickles, and servers of tests may run as root
    made["PYTHONPATH"] = os.pathsep.join([str(directory), made["PYTHONPATH"], os.environ.get("PYTHONPATH", "")])
    if side == "ledger":
        key = str(stack.http.headers["Authorization"]).removeprefix("Bearer ")
        made |= {"ADOPTED": "1", "TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key}
    return made


def pytest_command(project: Project, word: str) -> list[str]:
    """Its tests are classes by a name of their own; one that fails fails for good."""
    options = ["-p", WORKER_APP, "-p", "no:cacheprovider", "-o", "python_classes=test_* Test*", "-c", os.devnull]
    selected = ["-k", word] if word else []
    return [sys.executable, "-m", "pytest", "-q", "--tb=short", "-W", "ignore", *options, *selected, *project.tests]


def outcomes(report: Path) -> Outcomes:
    """By test; of one with several parts, the first that failed."""
    found: Outcomes = {}
    for line in report.read_text().splitlines():
        said = json.loads(line)
        name = said["test"].rpartition("/")[2].partition("::")[2]
        if found.get(name, ("",))[0] != "failed":
            found[name] = (said["outcome"], said["said"])
    return found


def print_table(name: str, celery: Outcomes, ledger: Outcomes) -> None:
    """Each test: the same, or different with what was said."""
    print(f"\n| {name} | the same | Celery | the ledger | said |\n| --- | --- | --- | --- | --- |")
    nothing = ("not run", "")
    for test in celery | ledger:
        (theirs, why), (ours, said) = celery.get(test, nothing), ledger.get(test, nothing)
        is_same = "yes" if theirs == ours else "no"
        print(f"| {test} | {is_same} | {theirs} | {ours} | {(said or why).replace('|', '/')[:160]} |")
    same = sum(celery.get(test) is not None and celery[test][0] == ledger[test][0] for test in ledger)
    print(f"\n{name}: {same} of {len(celery | ledger)} the same", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
