"""Packages with task types of other people: what is used, and what no process may start with."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tasks import task_packages
from tests.support.servers.databases import NO_BROKER, ROOT

TYPE = """
    from taskledger_sdk import TaskContext, task_type

    @task_type({name!r}, examples=("hello",))
    def handler(task: TaskContext, payload: str) -> str:
        \"\"\"Say it back.\"\"\"
        return payload
"""
USE = """
import sys
from app import task_packages
from app.config import load
from taskledger_sdk.packages import BrokenFiles
from taskledger_sdk.registry import load_types
from taskledger_sdk.workflows.declaring import load_workflows
import os
try:
    task_packages.use(load(os.environ), sys.argv)
except BrokenFiles as error:
    sys.exit(str(error))
print(*(name for name, kind in load_types().items() if not kind.internal))
print(*load_workflows())
"""


class Folder:
    """A folder on Python's path with somebody's packages."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, file: str, text: str = "", **values: str) -> None:
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).format(**values) if values else dedent(text))

    def used(self, packages: str = "acme_jobs", *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "BROKER_URL": NO_BROKER,
            "TASK_PACKAGES": packages,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk' / 'python'}:{self.path}",
        }
        return subprocess.run(
            [sys.executable, "-P", "-c", USE, *arguments],
            cwd=self.path,
            env=environment | settings,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def folder(tmp_path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("acme_jobs/__init__.py")
    return folder


def test_every_module_of_a_package_is_imported_but_for_private_ones_and_tests(folder):
    folder.write("acme_jobs/echo.py", TYPE, name="acme.echo")
    folder.write("acme_jobs/deep/__init__.py")
    folder.write("acme_jobs/deep/shout.py", TYPE, name="acme.shout")
    for name in ("_private", "test_echo", "conftest", "tests/__init__"):
        folder.write(f"acme_jobs/{name}.py", "raise RuntimeError('nobody imports this')")

    done = folder.used()

    assert done.returncode == 0, done.stderr
    assert {"acme.echo", "acme.shout", "reverse_string"} <= set(done.stdout.split())


def test_a_single_module_will_do(folder):
    folder.write("jobs.py", TYPE, name="echo_once")

    assert "echo_once" in folder.used("jobs").stdout.split()


def test_an_installed_package_names_itself_by_an_entry_point_and_counts_once(folder):
    folder.write("acme_jobs/echo.py", TYPE, name="acme.echo")
    folder.write("acme_jobs-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme-jobs\nVersion: 1.0\n")
    folder.write("acme_jobs-1.0.dist-info/entry_points.txt", "[taskledger.tasks]\njobs = acme_jobs\n")

    alone, twice = folder.used(""), folder.used("acme_jobs")

    assert "acme.echo" in alone.stdout.split(), alone.stderr
    assert twice.stdout.split().count("acme.echo") == 1


@pytest.mark.parametrize("program", ["sink", "flower"])
def test_programs_that_run_no_handler_import_only_ours(folder, program):
    folder.write("acme_jobs/broken.py", "raise RuntimeError('nobody imports this')")

    assert folder.used("acme_jobs", program).returncode == 0


def test_a_worker_whose_node_is_called_flower_imports_all(folder):
    folder.write("acme_jobs/echo.py", TYPE, name="acme.echo")

    assert "acme.echo" in folder.used("acme_jobs", "worker", "-n", "flower").stdout.split()


def test_a_workflow_that_waits_stays_where_only_some_of_our_types_are_offered(folder):
    folder.write(
        "acme_jobs/approve.py",
        """
        from taskledger_sdk.workflows import wait_for, workflow
        workflow('approve', description='', steps={'approved': wait_for('approved')})
        """,
    )

    used = folder.used(BUILTIN_TASK_TYPES="reverse_string")

    assert used.stdout.splitlines()[-1:] == ["approve"], used.stderr


def test_of_our_types_only_those_are_offered_that_the_setting_names(folder):
    some = folder.used("", BUILTIN_TASK_TYPES="reverse_string, http_request").stdout.splitlines()
    none = folder.used("", BUILTIN_TASK_TYPES="").stdout.splitlines()
    everything = folder.used("", BUILTIN_TASK_TYPES="*").stdout.splitlines()

    assert some == ["compensation http_request reverse_string", ""]  # our workflows need other types
    assert none == ["compensation", ""]
    assert len(everything[0].split()) > 10
    assert everything[1].split() == ["invoice", "invoice_email"]


BAD = {
    "a syntax error": ("def handler(:\n", "acme_jobs.bad cannot be imported (acme_jobs/bad.py, line 1): SyntaxError:"),
    "a missing dependency": (
        "import os\nimport no_such_library\n",
        "(acme_jobs/bad.py, line 2): ModuleNotFoundError: No module named 'no_such_library'; mend or remove the file",
    ),
    "a name of ours": (
        TYPE.format(name="reverse_string"),
        "reverse_string: declared in tasks.handlers.reverse_string.reverse_string and again in acme_jobs.bad.handler",
    ),
    "no name": (TYPE.format(name="Acme.Echo"), "'Acme.Echo' is no name of a task type"),
    "an import of app": ("\nfrom app.config import get_settings\n", "bad.py, line 2: imports app.config, which is the"),
    "an import of tasks": ("import tasks.handlers\n", "bad.py, line 1: imports tasks.handlers, which is the service's"),
    "an unknown type in a workflow": (
        """
        from taskledger_sdk import step, workflow
        workflow('acme', description='', steps={'one': step('no_such_type', 'x')})
        """,
        "acme_jobs.bad: workflow acme: ",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_with_a_package_is_said_with_its_place_and_nothing_starts(folder, what):
    text, said = BAD[what]
    folder.write("acme_jobs/bad.py", text)

    done = folder.used()

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        ("no_such_package", "no_such_package: Python finds no no_such_package; install it into the environment"),
        ("tasks.handlers", "tasks.handlers: the service has a package of this name itself"),
    ],
)
def test_a_package_that_cannot_be_used_is_named_with_what_to_do(folder, packages, said):
    done = folder.used(packages)

    assert done.returncode == 1
    assert said in done.stderr


def test_a_distribution_with_a_top_level_module_of_our_name_is_led_to_remote_workers(folder):
    folder.write("tasks/__init__.py")
    folder.write("acme_jobs-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme-jobs\nVersion: 1.0\n")
    folder.write("acme_jobs-1.0.dist-info/top_level.txt", "acme_jobs\ntasks\n")

    done = folder.used()

    assert done.returncode == 1
    assert "acme_jobs: it brings a top-level module 'tasks', and would get the service's" in done.stderr
    assert "run it as a remote worker" in done.stderr


def test_a_setting_that_is_no_list_of_import_names_is_refused(folder):
    done = folder.used("acme-jobs")

    assert "TASK_PACKAGES is refused: 'acme-jobs' is no import name" in done.stderr


def test_types_that_two_packages_declare_name_both(folder):
    folder.write("acme_jobs/echo.py", TYPE, name="acme.echo")
    folder.write("other_jobs.py", TYPE, name="acme.echo")

    done = folder.used("acme_jobs,other_jobs")

    assert "acme.echo: declared in acme_jobs.echo.handler and again in other_jobs.handler; rename one" in done.stderr


def test_a_package_that_is_named_twice_counts_once():
    assert task_packages.named("one, two,one,")[:2] == ["one", "two"]
