"""How the command line starts and ends: quickly, without tracebacks, with the commands of other packages."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint

import click
import pseudo_terminal
import pytest
from click.testing import CliRunner

from taskledger_sdk.cli import COMMANDS, cli, groups
from taskledger_sdk.cli.groups import own_command

HEAVY = ("marshmallow", "apispec", "asyncio", "rich", "taskledger_sdk.payload")
COMMAND = [sys.executable, "-m", "taskledger_sdk.cli"]


@pytest.fixture
def environment(service, home):
    known = {name: os.environ[name] for name in ("PATH", "XDG_CONFIG_HOME")}
    key = {"TASKLEDGER_URL": service.url, "TASKLEDGER_API_KEY": "tl_x"}
    return {**known, **key, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("arguments", [["--help"], ["tasks", "list"], ["types", "list"]])
def test_a_call_loads_nothing_that_it_does_not_need(environment, service, arguments):
    for path in ("/tasks", "/task-types"):
        service.answer("GET", path, {"items": [], "next": None})
    code = f"""
import sys
from taskledger_sdk.cli import cli
cli({arguments}, standalone_mode=False)
sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)
"""

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


def test_a_call_takes_little_longer_than_its_libraries(environment, service):
    service.answer("GET", "/tasks", {"items": [], "next": None})

    def quickest(command: list[str]) -> float:
        took = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
            took.append(time.perf_counter() - began)
        return min(took)

    assert quickest([*COMMAND, "tasks", "list"]) < 4 * quickest([sys.executable, "-c", "import httpx2, click"]) + 0.2


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_begins_its_help_as_the_list_says(name):
    module, said = COMMANDS[name]

    assert own_command(name, module).get_short_help_str(200) == said


def walk(command: click.Command, path: list[str]):
    yield path, command
    if isinstance(command, groups.RootGroup):
        context = click.Context(command)
        for name in command.own:
            yield from walk(command.get_command(context, name), [*path, name])
    elif isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from walk(below, [*path, name])


def test_every_command_that_asks_the_service_can_print_json():
    local = (["init"], ["adopt", "check"])
    leaves = [(path, each) for path, each in walk(cli, []) if not isinstance(each, click.Group) and path not in local]

    assert len(leaves) > 50
    assert [path for path, each in leaves if "--json" not in {o for p in each.params for o in p.opts}] == []
    assert [path for path, each in leaves if any("key" in p.opts for p in each.params)] == []


@pytest.fixture
def added(monkeypatch):
    """What other distributions have added."""
    points = []
    monkeypatch.setattr(groups, "entry_points", lambda group: [point for point in points if point.group == group])

    def add(name: str, value: str) -> None:
        points.append(EntryPoint(name=name, value=value, group="taskledger.commands"))

    return add


@click.command()
@click.option("--port", type=int)
def up(port: int) -> None:
    """Start a service."""
    click.echo(f"up on {port}")


NO_COMMAND = "a string"


def test_another_package_adds_a_command(added):
    added("up", f"{__name__}:up")

    assert CliRunner().invoke(cli, ["up", "--port", "7"]).output == "up on 7\n"
    assert "Start a service." in CliRunner().invoke(cli, ["--help"]).output


@pytest.mark.parametrize("value", ["no.such.module:up", f"{__name__}:missing", f"{__name__}:NO_COMMAND"])
def test_a_broken_one_is_told_and_harms_nobody(added, value):
    added("broken", value)
    added("up", f"{__name__}:up")

    shown = CliRunner().invoke(cli, ["--help"])
    called = CliRunner().invoke(cli, ["broken", "--port", "7"])

    assert shown.exit_code == 0
    assert "Start a service." in shown.output
    assert called.exit_code == 1
    assert "cannot be loaded" in called.output


def test_nobody_takes_a_name_of_ours(added):
    added("tasks", f"{__name__}:up")

    assert "submit" in CliRunner().invoke(cli, ["tasks", "--help"]).output


def test_ctrl_c_leaves_no_traceback(environment, service):
    service.answer("GET", "/events/stream", b"retry: 1\n\n", Content_Type="text/event-stream")
    process = subprocess.Popen([*COMMAND, "events", "tail"], env=environment, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    while not service.requests and time.monotonic() - began < 30:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in said


def test_a_reader_that_has_left_is_no_reason_to_complain(environment, service):
    task = {"id": "x" * 60_000, "type": "x", "status": "COMPLETED", "result": None, "error": None, "attempt": 1}
    service.answer("GET", "/tasks", {"items": [{**task, "created_at": None}] * 20, "next": None})
    process = subprocess.Popen(
        [*COMMAND, "tasks", "list"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    process.stdout.read(10)
    process.stdout.close()

    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) == 1


GREEN = "\x1b[32m"


def in_terminal(service, environment, *arguments, **more):
    task = {"id": "01a20187-e99f-7588-b4c3-6d36409e4538", "type": "reverse_string", "status": "COMPLETED", "attempt": 1}
    task |= {"result": "evil \x1b]0;title\x07 " + "x" * 200, "error": None, "created_at": "2026-11-29T01:00:00Z"}
    service.answer("GET", "/tasks", {"items": [task], "next": None})
    status, seen = pseudo_terminal.run(["tasks", "list", *arguments], environment={**environment, **more})
    assert status == 0, seen
    return seen


def test_a_terminal_sees_colours_whole_ids_and_lines_that_fit(service, environment):
    seen = in_terminal(service, environment)
    plain = seen.replace(GREEN, "").replace("\x1b[0m", "")

    assert GREEN in seen
    assert "01a20187-e99f-7588-b4c3-6d36409e4538" in plain
    assert [line for line in plain.splitlines() if len(line) > 80] == []
    assert "\x1b" not in plain


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_sees_none(service, environment, more):
    assert "\x1b" not in in_terminal(service, environment, **more)


def test_a_person_is_asked_before_dead_letters_are_purged(service, environment):
    service.answer("POST", "/dead-letters/purge", {"count": 3, "token": "t"})

    status, seen = pseudo_terminal.run(["dead-letters", "purge"], environment=environment, answers=[("Go on?", "n")])

    assert status == 1
    assert "Nothing was changed" in seen
    assert "delete, with their history: 3" in seen
    assert [asked.body["dry_run"] for asked in service.requests] == [True]
