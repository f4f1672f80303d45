"""Both wheels in an empty environment: a team's own folder is enough, and nobody has this repository."""

import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.servers.databases import ROOT
from tests.support.servers.installed import InstalledServer, Venv, build_wheels
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(300)]

STORY_SECONDS = 90  # from an empty folder to the result of a task
RELOAD_SECONDS = 12  # worker and API import everything anew, on as many processors as there are
TYPE = '''
from taskledger_sdk import TaskContext, task_type


@task_type("acme.echo", examples=("hello",))
def echo(task: TaskContext, payload: str) -> str:
    """Say it back."""
    return f"{payload}!"
'''
THEIRS = "raise RuntimeError('a-module-of-theirs')\n"
NOT_SHIPPED = {"__pycache__", ".mypy_cache"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def venv(tmp_path_factory, wheels) -> Venv:
    return Venv(tmp_path_factory.mktemp("venv") / "venv", wheels)


@pytest.fixture(scope="module")
def homes() -> Iterator[Path]:
    """Not below pytest's directory, which only its owner may enter: root's PostgreSQL runs as somebody else."""
    with tempfile.TemporaryDirectory(prefix="taskledger-homes-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def crowded(homes, venv) -> InstalledServer:
    """Started beside somebody's own `tasks.py`, `app` and `celeryconfig.py`, with --reload."""
    home = homes / "crowded"
    (home / "app").mkdir(parents=True)
    for name in ("tasks.py", "celeryconfig.py", "app/__init__.py"):
        (home / name).write_text(THEIRS)
    (home / "acme_jobs").mkdir()
    (home / "acme_jobs" / "__init__.py").touch()
    (home / "acme_jobs" / "echo.py").write_text(TYPE)
    server = InstalledServer(venv, home, "--tasks", "acme_jobs", "--reload", "--concurrency", "3")
    try:
        server.start().wait_until_ready()
        yield server
    finally:
        server.end()


def test_the_wheel_holds_what_the_tree_holds(wheels):
    [server] = [each for each in wheels if each.name.startswith("taskledger_server")]
    prefix = "taskledger_server/root/"
    shipped = {each.removeprefix(prefix) for each in zipfile.ZipFile(server).namelist() if each.startswith(prefix)}
    tree = {
        str(path.relative_to(ROOT))
        for folder in ("app", "tasks")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not NOT_SHIPPED & set(path.parts)
    }

    assert shipped == tree | {"celeryconfig.py"}


def test_the_server_needs_exactly_the_sdk_of_its_own_release(wheels):
    [server] = [each for each in wheels if each.name.startswith("taskledger_server")]
    [name] = [each for each in zipfile.ZipFile(server).namelist() if each.endswith("METADATA")]
    metadata = zipfile.ZipFile(server).read(name).decode().splitlines()

    [version] = [line.partition(": ")[2] for line in metadata if line.startswith("Version: ")]
    assert f"Requires-Dist: taskledger-sdk=={version}" in metadata
    assert "Provides-Extra: embedded" in metadata


def test_a_team_goes_from_an_empty_folder_to_a_result(venv, homes):
    """Packages are here already, so the time is that of our part: no download."""
    folder = homes / "team"
    folder.mkdir()
    began = time.monotonic()

    venv.run("tledger", "init", "acme-jobs", directory=folder)
    project = folder / "acme-jobs"
    tested = venv.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", directory=project)
    [example] = [path.stem for path in (project / "acme_jobs").glob("*.py") if "@task_type" in path.read_text()]
    server = InstalledServer(venv, project)
    try:
        server.start().wait_until_ready()
        known = requests.get(
            f"{server.url}/api/v1/task-types", headers={"Authorization": f"Bearer {server.key}"}, timeout=10
        ).json()["items"]
        [theirs] = [kind for kind in known if kind["name"].startswith("acme") or kind["name"] == example]
        result = server.completed(theirs["name"], theirs["examples"][0])
    finally:
        server.end()
    seconds = time.monotonic() - began

    print(f"{seconds:.1f} s, {theirs['name']}: {result}")
    assert " passed" in tested.stdout
    assert result is not None
    assert seconds < STORY_SECONDS


def test_every_process_runs_ours_beside_modules_of_the_same_names(crowded):
    assert crowded.completed("acme.echo", "hello") == "hello!"
    assert crowded.completed("reverse_string", "hello") == "olleh"
    logs = {path.name: path.read_text(errors="replace") for path in (crowded.home / ".taskledger/log").glob("*.log")}
    assert {"api.log", "worker.log", "dispatcher.log", "sinks.log", "flower.log", "migrate.log"} <= set(logs)
    assert [name for name, text in logs.items() if "a-module-of-theirs" in text] == []


def test_the_commands_of_the_service_are_there_too(crowded, venv):
    settings = {"VAR_DIR": str(crowded.home / ".taskledger")}
    done = venv.run("tledger", "server", "integrity", "--json", directory=crowded.home, **settings)

    assert '"clean": true' in done.stdout


def test_the_command_line_reaches_it_as_the_terminal_is_told(crowded, venv):
    settings = {"TASKLEDGER_URL": crowded.url, "TASKLEDGER_API_KEY": crowded.key}
    done = venv.run("tledger", "tasks", "submit", "acme.echo", "hi", "--wait", directory=crowded.home, **settings)

    assert done.stdout == "hi!\n"


def test_an_edit_is_live_soon_and_a_broken_one_leaves_the_old_code_running(crowded):
    path = crowded.home / "acme_jobs" / "echo.py"
    began = time.monotonic()
    path.write_text(TYPE.replace('{payload}!"', '{payload}?"'))
    wait_for(lambda: "The edited code is used" in crowded.log_of_this_run, timeout=60, what="the edit is used")
    seconds = time.monotonic() - began
    wait_for(lambda: crowded.completed("acme.echo", "hello") == "hello?", timeout=30, what="the edit is live")

    path.write_text(path.read_text() + "\ndef broken(:\n")
    wait_for(lambda: "is not used" in crowded.log_of_this_run, timeout=60, what="the broken edit is refused")

    print(f"live after {seconds:.1f} s")
    assert crowded.completed("acme.echo", "hello") == "hello?"
    assert "acme_jobs/echo.py, line 10): SyntaxError" in crowded.log_of_this_run
    assert seconds < RELOAD_SECONDS
