"""The SDK as it is distributed: its files, what it says of itself, and its own tests where the service is not."""

import ast
import re
import shutil
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from taskledger_sdk import __version__
from tests.sdk.environment import SDK
from tests.support.servers.databases import ROOT

pytestmark = pytest.mark.timeout(300)

PACKAGE = SDK / "taskledger_sdk"
OF_AN_EXTRA = PACKAGE / "celery"
WITH_AN_EXTRA = PACKAGE / "cli" / "commands" / "adopt.py"  # imports it when it is used, and says how to install it
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}
OF_THE_SERVICE = ("app", "tasks", "flask", "celery", "kombu", "sqlalchemy", "redis", "gunicorn")
TESTS_INI = "[pytest]\naddopts = --strict-markers\nfilterwarnings = error\nmarkers =\n    slow: takes seconds\n"


def tree() -> set[str]:
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and not CACHES & set(path.parts))
    return {str(path.relative_to(SDK)) for path in files}


def test_the_wheel_holds_what_the_tree_holds(distributions):
    names = set(zipfile.ZipFile(distributions[0]).namelist())
    described = {name for name in names if name.split("/")[0].endswith(".dist-info")}

    assert names - described == tree()
    assert {name.partition("/")[2] for name in described} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_source_distribution_holds_what_the_tree_holds(distributions):
    with tarfile.open(distributions[1]) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}

    assert names == tree() | {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"}


def test_both_have_the_licence_of_the_repository():
    assert (SDK / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.fixture(scope="module")
def said(distributions) -> Message:
    """What the wheel says of itself."""
    archive = zipfile.ZipFile(distributions[0])
    [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
    return Parser().parsestr(archive.read(name).decode())


def test_it_says_what_it_is_and_what_it_needs(said):
    project = tomllib.loads((SDK / "pyproject.toml").read_text())["project"]

    assert (said["Name"], said["Version"]) == ("taskledger-sdk", __version__)
    assert said["Requires-Python"] == ">=3.11"
    required = [Requirement(each) for each in said.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert {str(each) for each in required} == {str(Requirement(each)) for each in project["dependencies"]}


def test_it_needs_exactly_what_it_imports(said):
    """Without extras: what these bring is imported in modules of their own, when it is there."""
    homes = metadata.packages_distributions()
    imported = {
        canonicalize_name(homes[top][0])
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(OF_AN_EXTRA) and path != WITH_AN_EXTRA
        for top in _imported_by(path)
        if top not in sys.stdlib_module_names and top != "taskledger_sdk"
    }
    required = {Requirement(each).name for each in said.get_all("Requires-Dist", []) if "extra ==" not in each}

    assert imported == required


def _imported_by(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_of_the_service_is_there(environment, tmp_path):
    program = (
        "from importlib.util import find_spec; import taskledger_sdk, sys;"
        f"print([name for name in {OF_THE_SERVICE!r} if find_spec(name)]); print(taskledger_sdk.__file__)"
    )

    found, home = environment.run("-c", program, directory=tmp_path).stdout.splitlines()

    assert found == "[]"
    assert Path(home).is_relative_to(environment.packages)


def test_every_module_can_be_imported_where_the_service_is_not(environment, tmp_path):
    program = (
        "import pkgutil, importlib, taskledger_sdk\n"
        "for each in pkgutil.walk_packages(taskledger_sdk.__path__, 'taskledger_sdk.'):\n"
        "    if each.name.endswith('.__main__') or each.name.startswith('taskledger_sdk.celery'): continue\n"
        "    print(importlib.import_module(each.name).__name__)\n"
    )

    done = environment.run("-W", "error", "-c", program, directory=tmp_path)

    assert done.returncode == 0, done.stderr
    modules = [path for path in tree() if path.endswith(".py") and not path.endswith("__main__.py")]
    modules = [path for path in modules if not (SDK / path).is_relative_to(OF_AN_EXTRA)]
    assert len(done.stdout.splitlines()) == len(modules) - 1  # but for the package itself


@pytest.mark.long  # they have passed once already, beside the sources
def test_its_own_tests_pass_on_the_wheel(environment, tmp_path):
    # Those of the part for Celery applications need Celery.
    left_out = shutil.ignore_patterns("__pycache__", "test_celery_*.py")
    shutil.copytree(SDK / "tests", tmp_path / "tests", ignore=left_out)
    (tmp_path / "pytest.ini").write_text(TESTS_INI)

    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", directory=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_example_on_its_page_works(environment, said, tmp_path):
    page = said.get_payload()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "acme.py").write_text(example)
    program = "import acme; from taskledger_sdk import testing; print(testing.run(acme.greet, {'name': 'Ann'}).result)"

    done = environment.run("-W", "error", "-c", program, directory=tmp_path, PYTHONPATH=str(tmp_path))

    assert done.stdout == "{'greeting': 'Hello, Ann!'}\n", done.stderr
