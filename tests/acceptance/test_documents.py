"""Every command of the README, the quickstart and the how-to guides, run as it stands beside a `make run`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.embedded import postgres
from tests.services.databases import ROOT
from tests.services.embedded import Embedded
from tests.services.processes import Process
from tests.services.waiting import free_port, wait_for

pytestmark = pytest.mark.long

PAGES = [
    "README.md",
    "docs/quickstart.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/how-to/*.md")),
]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
EXAMPLE_ID = re.compile(r"01a20187-e99f-7588-b4c3-6d36409e4538|'…'")
PORTS = {"8000": "PORT", "5555": "FLOWER_PORT", "8020": "DEMO_ORDERS_PORT", "54321": "POSTGRES_PORT"}
PASSWORD = "three random words\n"

# What starts and stays: how it says that it works.
LASTING = {
    "curl -N": "event: task.completed",
    "flask --app app sink": "sink_waits_for_its_turn",  # for that of `make run` to end
    "gunicorn": "Listening at",
    "celery -A tasks worker": " ready.",
    "celery -A tasks beat": "dispatcher_started",
    "celery -A tasks flower": "Connected to",
}
# They need servers, clusters and rights that a machine for tests need not have.
ELSEWHERE = ("sudo ", "nats-server ", "BROKER_URL=nats://", "kubectl ")
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
            "VAR_DIR": str(embedded.var_dir),
            "API": embedded.url,
            "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{free_port()}",
            "FLOWER_PORT": str(free_port()),
            "TZ": "UTC",
        }

    def run(self, command: str) -> None:
        """Do what it says. Raises AssertionError when it fails."""
        lasting = next((ready for start, ready in LASTING.items() if command.startswith(start)), None)
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

    def query(self, sql: str) -> None:
        """Run what somebody would paste into psql."""
        self._run(f"psql '{self._embedded.secrets['DATABASE_URL']}' -v ON_ERROR_STOP=1 <<'SQL'\n{self._here(sql)}\nSQL")

    def _here(self, command: str) -> str:
        """With the addresses, the folder and the id of this run in the place of those that the page shows."""
        for number, name in PORTS.items():
            command = command.replace(f"127.0.0.1:{number}", f"127.0.0.1:{self._embedded.ports[name]}")
        command = re.sub(r"(?<![\w/])var/", f"{self._embedded.var_dir}/", command)
        command = re.sub(r"make_secrets\.py$", f"make_secrets.py {self._embedded.var_dir}/compose", command)
        return EXAMPLE_ID.sub(lambda found: f"'{self.task_id}'" if found[0] == "'…'" else self.task_id, command)

    def _run(self, command: str) -> None:
        script = f"set -a; . {self._exported}; set -o pipefail\n{command}\n"
        script += f"status=$?; export -p | grep -v ' \\(PWD\\|OLDPWD\\|SHLVL\\)=' > {self._exported}; exit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
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
            self.task_id = answer["id"] if "payload" in answer else self.task_id

    def _see_it_run(self, command: str, ready: str) -> None:
        script = f"set -a; . {self._exported}; DATABASE_URL= BROKER_URL=\nexec {command}"
        process = Process(["bash", "-c", script], name="documented", environment=self.environment, directory=ROOT)
        try:
            process.start()
            wait_for(lambda: ready in process.log or not process.is_running, timeout=60, what=f"{command}: {ready}")
            assert process.is_running, process.tail
        finally:
            process.end()


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    embedded = Embedded()
    embedded.start_seconds = 180.0
    try:
        yield embedded.start().wait_until_ready()
    finally:
        embedded.end()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page, request, tmp_path):
    shown = [each for each in examples(page) if each.language in ("sh", "bash", "sql", "json", "text")]
    if not any(each.language in ("sh", "bash", "sql") for each in shown):
        pytest.skip("it shows no command")
    terminal = Terminal(request.getfixturevalue("embedded"), tmp_path)
    has_run = False
    for example in shown:
        if example.language in ("sh", "bash"):
            for command in commands(example.text):
                terminal.run(command)
        elif example.language == "sql":
            terminal.query(example.text)
        elif has_run:
            _compare(example, terminal.output)
        has_run = example.language in ("sh", "bash")


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
