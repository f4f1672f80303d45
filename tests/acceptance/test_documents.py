"""Every command of the README and all documents, run as it stands beside a `make run` in a copy of the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from app.embedded import postgres
from tests.support.servers.databases import ROOT
from tests.support.servers.embedded import Embedded
from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port, wait_for

pytestmark = pytest.mark.long

FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
COMMANDS = ("sh", "sql")
TYPE_OR_WORKFLOW = re.compile(r'"""(\w+): .*?^(@task_type|\w+ = workflow)\(', re.DOTALL | re.MULTILINE)
NOT_COPIED = (".git", ".venv", "var", "__pycache__", ".*_cache", "secrets")
MAP = "docs/README.md"  # says what `$API` and `$KEY` stand for on the pages below it
FIRST_PAGES = ("README.md", "docs/quickstart.md", MAP)  # these say so themselves
EXAMPLE_ID = re.compile(r"01a20187-e99f-7588-b4c3-6d36409e4538|'…'")
PORTS = {"8000": "PORT", "5555": "FLOWER_PORT", "8020": "DEMO_ORDERS_PORT", "54321": "POSTGRES_PORT"}
PASSWORD = "three random words\n"

# What starts and stays: how it says that it works.
LASTING = {
    "curl -N": "event: task.completed",
    "flask --app app sink": "sink_waits_for_its_turn",  # for that of `make run` to end
    "gunicorn": "Listening at",
    "python -m tasks worker": " ready.",
    "python -m tasks beat": "dispatcher_started",
    "celery -A tasks worker": " ready.",
    "celery -A tasks flower": "Connected to",
}
# They need servers, clusters and rights that a machine for tests need not have; tests/unit/test_documented_names.py and
# tests/deploy see that what they name is there; tests/containers runs those of Docker, and those of the wheels are in
# tests/acceptance/test_installed_server.py.
ELSEWHERE = (
    "sudo ",
    "nats-server ",
    "BROKER_URL=nats://",
    "kubectl ",
    "helm ",
    "docker ",
    "rabbitmqctl ",
    "sh deploy/compose/",
    "make wheels",
    "python3 -m venv",
    "/srv/jobs/bin/",
    "tledger up",
)
# It shows what happens from now on, so something must.
SILENT_UNTIL_STIRRED = "curl -N"
# A checkout of a developer's, a server in production: these say what is wrong with it, and that is right.
MAY_FIND_FAULTS = "flask --app app doctor"


@dataclass
class Example:
    """A fenced block: its language, and its text without the indentation of a list."""

    language: str
    text: str


def examples(page: str) -> Iterator[Example]:
    for indent, language, text in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        yield Example(language, "\n".join(line.removeprefix(indent) for line in text.splitlines()))


def pages() -> list[str]:
    """Those that show something to be run."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = [str(path.relative_to(ROOT)) for path in paths]
    return [name for name in names if any(each.language in COMMANDS for each in examples(name))]


def add_types_and_workflows(checkout: Path) -> None:
    """Put the pages' types and workflows where they say that these belong: one file each."""
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for example in examples(str(path.relative_to(ROOT))):
            if example.language == "python" and (found := TYPE_OR_WORKFLOW.match(example.text)):
                folder = "handlers" if found[2] == "@task_type" else "workflows"
                (checkout / "tasks" / folder / f"{found[1]}.py").write_text(example.text + "\n", encoding="utf-8")


def commands(text: str) -> Iterator[str]:
    """The commands of a block; one may have several lines."""
    command = ""
    for line in text.splitlines():
        command += f"{line}\n"
        if not command.strip() or line.endswith("\\"):
            continue
        if subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0:
            yield command.strip()
            command = ""
    assert not command.strip(), f"unfinished: {command}"


class Terminal:
    """A person's second terminal, beside the running service; what they export stays exported."""

    def __init__(self, embedded: Embedded, home: Path) -> None:
        self._embedded = embedded
        self._exported = home / "exported"
        self._exported.write_text("")
        self.output = ""
        self.task_id = ""
        programs = [str(Path(sys.executable).parent), str(postgres.programs()), os.environ["PATH"]]
        self.environment = {
            "PATH": os.pathsep.join(programs),
            "HOME": str(home),
            "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{free_port()}",
            "FLOWER_PORT": str(free_port()),
            "TZ": "UTC",
        }

    def run(self, command: str) -> None:
        """Do what it says. Raises AssertionError when it fails."""
        program = re.sub(r"^([A-Z_]+=\S+ )+", "", command)
        lasting = next((ready for start, ready in LASTING.items() if program.startswith(start)), None)
        if command in ("make run", ". .venv/bin/activate") or command.startswith(ELSEWHERE):
            return  # the first is running, and the second only says where the programs are
        if command == "make test":
            self._run("make -n test")
        elif command == "make demo":
            self._run(f"{sys.executable} -m app.embedded.demo")
        elif lasting is not None:
            self._see_it_run(self._here(command), lasting)
        else:
            self._run(self._here(command))

    def store(self, workflow: str) -> None:
        """Store a definition that a page shows. Raises AssertionError when it is refused."""
        address, headers = f"{self._embedded.url}/workflows", self._embedded.as_admin
        answer = requests.post(address, json=json.loads(workflow), headers=headers, timeout=10)
        assert answer.status_code == 201, answer.text

    def query(self, sql: str) -> None:
        """Run what somebody would paste into psql."""
        self._run(f"psql '{self._embedded.secrets['DATABASE_URL']}' -v ON_ERROR_STOP=1 <<'SQL'\n{self._here(sql)}\nSQL")

    def _here(self, command: str) -> str:
        """With the addresses and the id of this run in the place of those that the page shows."""
        for number, name in PORTS.items():
            command = command.replace(f"127.0.0.1:{number}", f"127.0.0.1:{self._embedded.ports[name]}")
        return EXAMPLE_ID.sub(lambda found: f"'{self.task_id}'" if found[0] == "'…'" else self.task_id, command)

    def _run(self, command: str) -> None:
        script = f"set -a; . {self._exported}; set -o pipefail\n{command}\n"
        script += f"status=$?; export -p | grep -v ' \\(PWD\\|OLDPWD\\|SHLVL\\)=' > {self._exported}; exit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._embedded.home,
            env=self.environment,
            input=PASSWORD * 2,
            capture_output=True,
            text=True,
            timeout=120,
            start_new_session=True,  # no terminal to ask for passwords
        )
        allowed = (0, 1) if command.startswith(MAY_FIND_FAULTS) else (0,)
        assert done.returncode in allowed, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        self.output = done.stdout
        self._remember(done.stdout)

    def _remember(self, output: str) -> None:
        """A curl says 200 or 4xx alike: see that no answer is a problem; keep the id of a task."""
        try:
            answer = json.loads(output)
        except ValueError:
            return
        if isinstance(answer, dict):
            assert not str(answer.get("type", "")).startswith("urn:taskledger:problem"), answer
            if answer.keys() >= {"id", "payload"}:  # a type has a payload, too
                self.task_id = answer["id"]

    def _see_it_run(self, command: str, ready: str) -> None:
        script = f"set -a; . {self._exported}; DATABASE_URL= BROKER_URL=\nexec env {command}"
        here = self._embedded.home
        process = Process(["bash", "-c", script], name="documented", environment=self.environment, directory=here)
        try:
            process.start()
            if command.startswith(SILENT_UNTIL_STIRRED):
                wait_for(lambda: "retry:" in process.log, timeout=30, what=f"{command}: the stream begins")
                self._embedded.submit("reverse_string", "something happens")
            wait_for(lambda: ready in process.log or not process.is_running, timeout=60, what=f"{command}: {ready}")
            assert process.is_running, process.tail
        finally:
            process.end()


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """In a copy of the checkout, so that what the pages write stays out of it, with the types that they add."""
    embedded = Embedded()
    embedded.start_seconds = 180.0
    try:
        shutil.copytree(ROOT, embedded.home, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        add_types_and_workflows(embedded.home)
        embedded.directory = embedded.home
        embedded.start().wait_until_ready()
        terminal = Terminal(embedded, embedded.home)
        terminal.query("CREATE TABLE orders (id integer, status text)")  # a reader's own, in docs/reference/sql.md
        yield embedded
    finally:
        embedded.end()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", pages())
def test_every_command_of_the_page_works(page, embedded, tmp_path):
    terminal = Terminal(embedded, tmp_path)
    if page not in FIRST_PAGES:
        for example in examples(MAP):
            if example.language == "sh":
                run_all(terminal, example)
    has_run = False
    for example in examples(page):
        if example.language == "sh":
            run_all(terminal, example)
        elif example.language == "sql":
            terminal.query(example.text)
        elif example.language == "json" and '"definition"' in example.text:
            terminal.store(example.text)
        elif has_run and example.language in ("json", "text"):
            _compare(example, terminal.output)
        has_run = example.language == "sh"


def run_all(terminal: Terminal, example: Example) -> None:
    for command in commands(example.text):
        terminal.run(command)


def _compare(example: Example, output: str) -> None:
    """What the page shows below a command is what the command prints; … stands for more."""
    if example.language == "text":
        assert output.strip() == example.text.strip()
        return
    shown = json.loads(example.text.replace(", …", ""))
    printed = json.loads(output)
    assert _is_part(shown, printed), (shown, printed)


def _is_part(shown, printed) -> bool:
    """Whether all that is shown is printed, ids aside."""
    if not isinstance(shown, dict):
        return shown == printed
    return all(name == "id" or (name in printed and _is_part(value, printed[name])) for name, value in shown.items())
