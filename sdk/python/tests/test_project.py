"""The project that `tledger init` writes: its files, its names, and what is refused."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskledger_sdk.cli import cli
from taskledger_sdk.project import BadName, files, package_of


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(name: str):
    return CliRunner().invoke(cli, ["init", name])


def test_each_file_is_written_into_a_folder_of_the_name(here):
    done = init("acme-jobs")

    written = {str(path.relative_to(here / "acme-jobs")): path for path in here.rglob("*") if path.is_file()}
    assert done.exit_code == 0, done.output
    assert {path: file.read_text() for path, file in written.items()} == files("acme-jobs")
    assert "cd acme-jobs" in done.output


def test_nothing_of_a_template_is_left():
    for path, text in files("acme-jobs").items():
        assert "$name" not in text, path
        assert "$package" not in text, path
        assert "$$" not in text, path


def test_the_project_names_its_package_for_the_service():
    project = tomllib.loads(files("acme-jobs")["pyproject.toml"])["project"]

    assert project["entry-points"] == {"taskledger.tasks": {"acme-jobs": "acme_jobs"}}
    assert project["dependencies"][0].startswith("taskledger-sdk>=")


@pytest.mark.parametrize(
    ("name", "package"), [("acme-jobs", "acme_jobs"), ("jobs", "jobs"), ("a2-b_3", "a2_b_3"), ("x" * 40, "x" * 40)]
)
def test_the_package_has_a_name_that_can_be_imported(name, package):
    assert package_of(name) == package
    assert f"{package}/greet.py" in files(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is no name for a project: give up to 40"),
        ("Acme", "is no name for a project"),
        ("../acme", "is no name for a project"),
        ("acme--jobs", "is no name for a project"),
        ("2jobs", "is no name for a project"),
        ("jobs\n", "is no name for a project"),
        ("x" * 41, "is no name for a project"),
        ("app", "would be called app, and Taskledger itself has a module"),
        ("taskledger-sdk", "Taskledger itself has a module"),
        ("json", "Python has a module of this name"),
        ("email-validator", "the project needs a module of this name"),
        ("tests", "the project needs a module of this name"),
        ("lambda", "a word of Python's own"),
    ],
)
def test_a_name_that_would_not_do_is_refused_with_what_to_do(here, name, said):
    with pytest.raises(BadName, match=said):
        files(name)
    done = init(name)

    assert done.exit_code == 2
    assert "such as acme-jobs." in done.output
    assert list(here.iterdir()) == []


def test_an_empty_folder_is_filled(here):
    (here / "acme-jobs").mkdir()

    assert init("acme-jobs").exit_code == 0


@pytest.mark.parametrize("what", ["a file", "a folder", "a link"])
def test_nothing_is_overwritten(here, what):
    there = here / "acme-jobs"
    if what == "a file":
        there.write_text("mine")
    elif what == "a folder":
        (there / "docs").mkdir(parents=True)
    else:
        (here / "elsewhere").mkdir()
        there.symlink_to("elsewhere")
    before = sorted(here.rglob("*"))

    done = init("acme-jobs")

    assert (done.exit_code, sorted(here.rglob("*"))) == (1, before)
    assert "acme-jobs is there already: take another name, or remove it." in done.output


def test_a_folder_that_cannot_be_written_to_is_named(here, monkeypatch):
    def refused(self, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    done = init("acme-jobs")

    assert (done.exit_code, done.output) == (1, "Error: acme-jobs cannot be written: Permission denied.\n")
