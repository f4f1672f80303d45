"""Packages of task types: what is imported of them, and what is said of one that cannot be."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from taskledger_sdk import packages
from taskledger_sdk.packages import BrokenFiles
from taskledger_sdk.registry import load_types

TYPE = """
    from taskledger_sdk import TaskContext, task_type

    @task_type("{name}")
    def handler(task: TaskContext, payload: str) -> str:
        return payload
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder on Python's path with an empty package `acme_parts`; gone after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(packages, "_packages", ())
    monkeypatch.setattr(packages, "_loaded", False)
    write(tmp_path, "acme_parts/__init__.py", "")
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_parts"]:
        del sys.modules[name]


def write(folder: Path, file: str, text: str) -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))


def test_types_are_found_in_every_module_but_private_ones_and_tests(folder):
    write(folder, "acme_parts/one.py", TYPE.format(name="acme_parts.one"))
    write(folder, "acme_parts/deep/__init__.py", "")
    write(folder, "acme_parts/deep/two.py", TYPE.format(name="acme_parts.two"))
    for name in ("_private", "test_one", "conftest", "tests/__init__"):
        write(folder, f"acme_parts/{name}.py", "raise RuntimeError('nobody imports this')")

    packages.use("acme_parts")

    assert {"acme_parts.one", "acme_parts.two"} <= set(load_types())


def test_nothing_is_imported_before_somebody_asks(folder):
    packages.use("acme_parts")

    assert "acme_parts" not in sys.modules
    assert packages.used() == ("acme_parts",)


def test_all_that_cannot_be_imported_is_told_at_once_with_its_place(folder):
    write(folder, "acme_parts/a.py", "def handler(:\n")
    write(folder, "acme_parts/b.py", "import os\nimport no_such_library\n")
    write(folder, "acme_parts/c.py", TYPE.format(name="Acme"))

    packages.use("acme_parts")
    with pytest.raises(BrokenFiles) as broken:
        load_types()

    first, second, third = broken.value.faults
    assert first.startswith("acme_parts.a cannot be imported (acme_parts/a.py, line 1): SyntaxError: ")
    assert "(acme_parts/b.py, line 2): ModuleNotFoundError: No module named 'no_such_library'" in second
    assert "'Acme' is no name of a task type" in third
    assert all(each.endswith(packages.ADVICE) for each in broken.value.faults)
