"""A file of task types that cannot be imported: who needs types says where and what to do, and starts not at all."""

import subprocess
import sys

import pytest

from tests.support.servers.databases import NO_BROKER, ROOT
from tests.support.servers.programs import service_environment
from tests.support.servers.waiting import free_port
from tests.support.servers.with_test_types import MORE_HANDLERS

pytestmark = pytest.mark.long

FLASK = ("flask", "--app", "app")
CELERY = ("celery", "-A", "tasks")
NEED_TYPES = {
    "worker": ("tasks", "worker"),
    "worker of Celery's command line": (*CELERY, "worker"),
    "dispatcher": ("tasks", "beat"),
    "dispatcher of Celery's command line": (*CELERY, "beat"),
    "status": (*CELERY, "status"),
    "sink": (*FLASK, "sink", "csv"),
    "migration": (*FLASK, "db", "upgrade"),
    "doctor": (*FLASK, "doctor"),
    "topology": ("tasks.topology",),
}
FILES = {
    "a missing module": ("import os\nimport no_such_module\n", "line 2): ModuleNotFoundError: No module named"),
    "no Python": ("def handler(:\n", "line 1): SyntaxError:"),
    "an end": ("import sys\n\nsys.exit('not here')\n", "line 3): SystemExit: not here"),
    "a fault": ("def fall():\n    return 1 / 0\n\n\nfall()\n", "line 2): ZeroDivisionError"),
}


@pytest.fixture
def broken(tmp_path):
    """Runs a program beside a broken file."""

    def run(*command: str, text: str = FILES["a missing module"][0]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "broken.py").write_text(text)
        environment = service_environment(
            database_url="postgresql://nobody@127.0.0.1:1/none",
            broker_url=NO_BROKER,
            var_dir=str(tmp_path),
            taskledger_url=f"http://127.0.0.1:{free_port()}",
            taskledger_api_key="tl_" + "x" * 43,
        )
        return subprocess.run(
            [sys.executable, "-m", "tests.support.servers.with_test_types", *command],
            cwd=ROOT,
            env=environment | {MORE_HANDLERS: str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.mark.parametrize("name", NEED_TYPES)
def test_what_needs_types_says_which_file_and_what_to_do_and_ends(name, broken):
    done = broken(*NEED_TYPES[name])

    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: tasks.handlers.broken cannot be imported (")
    assert "line 2): ModuleNotFoundError: No module named 'no_such_module'; mend or remove the file" in line


@pytest.mark.parametrize("fault", FILES)
def test_the_line_of_the_file_is_named_whatever_is_wrong_with_it(fault, broken):
    text, said = FILES[fault]

    done = broken("tasks.topology", text=text)

    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_api_does_not_start_with_the_other_types(broken):
    done = broken("gunicorn", "--bind", f"127.0.0.1:{free_port()}", "app.factory:create_app()")

    assert done.returncode != 0
    assert "tasks.handlers.broken cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_that_only_speaks_http_does_not_mind(broken):
    helped = broken(*FLASK, "tasks", "--help")
    asked = broken(*FLASK, "tasks", "list")

    assert helped.returncode == 0, helped.stderr
    assert "Traceback" not in asked.stderr
    assert "broken" not in asked.stderr
    assert "does not answer" in asked.stderr
