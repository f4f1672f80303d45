"""`tledger deploy-check`: what it sends, prints and exits with."""

import json
import sys
from uuid import uuid4

import pytest

from taskledger_sdk import packages

PACKAGE = '''
from typing import Literal

from taskledger_sdk import TaskContext, task_type


@task_type("acme.resize", upgrade={"0f3a9c1d2b4e": lambda payload: payload})
def resize(task: TaskContext, payload: Literal["s", "m"]) -> None:
    """Resize."""
'''
CLEAN = {
    "at": "2026-11-29T05:00:00Z", "clean": True, "findings": [], "left_out": 0, "unchanged": 3, "unreadable": {},
    "checked": {"task": 0, "schedule": 0, "workflow": 0, "run": 0}, "sampled": [], "upgraded": [],
}  # fmt: skip
REFUSED = {
    "kind": "task", "problem": "refused", "type": "acme.resize", "schema_hash": "bbbbbbbbbbbb", "count": 1204,
    "is_estimate": True, "paths": [{"path": "payload.size", "message": "is not one of them", "count": 1204}],
    "samples": [{"id": "01a20187-e99f-7588-b4c3-6d36409e4538", "name": None, "path": None, "message": None}],
}  # fmt: skip
GONE = {**REFUSED, "kind": "schedule", "problem": "gone", "type": "acme.crop", "count": 1, "is_estimate": False}


@pytest.fixture(autouse=True)
def _own_packages(monkeypatch):
    """What the command uses, and where it looks, is forgotten after each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("TASK_PACKAGES", raising=False)
    before = packages.used()
    yield
    packages.use(*before)


@pytest.fixture
def package(home):
    """A package of task types in the current folder, as a checkout of a new release has it."""
    name = f"acme_jobs_{uuid4().hex[:8]}"
    (home / "here" / f"{name}.py").write_text(PACKAGE)
    return name


def test_the_types_of_the_packages_are_sent_with_their_schemas_and_upgrades(tledger, service, package):
    service.answer("POST", "/deploy-check", CLEAN)

    done = tledger("deploy-check", "--tasks", package, "--only", "acme.*")

    assert done.exit_code == 0, done.output
    [asked] = service.requests
    sent = asked.body["types"]["acme.resize"]
    assert sent["schema"]["enum"] == ["s", "m"]
    assert sent["upgrade"] == ["0f3a9c1d2b4e"]
    assert asked.body["only"] == ["acme.*"]
    assert "3 tasks have the same schema" in done.stdout


def test_what_would_break_is_told_and_is_exit_status_1(tledger, service, package):
    report = {**CLEAN, "clean": False, "findings": [REFUSED, GONE]}
    report["sampled"] = [{"kind": "task", "type": "acme.resize", "checked": 100, "of": 1000}]
    service.answer("POST", "/deploy-check", report)

    done = tledger("deploy-check", "--tasks", package)

    assert done.exit_code == 1
    assert "acme.resize refuses about 1,204 tasks, accepted under bbbbbbbbbbbb" in done.stdout
    assert "payload.size: is not one of them (1,204)" in done.stdout
    assert "acme.crop is gone, and 1 schedule needs it" in done.stdout
    assert "Of 1,000 tasks of acme.resize, 100 were looked at" in done.stderr


def test_programs_get_the_report_as_it_is(tledger, service, package):
    service.answer("POST", "/deploy-check", {**CLEAN, "clean": False, "findings": [REFUSED]})

    done = tledger("deploy-check", "--tasks", package, "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["findings"] == [REFUSED]


def test_a_service_that_refuses_is_not_a_release_that_is_well(tledger, service, package):
    service.refuse("POST", "/deploy-check", 403, "forbidden", "This needs an admin.")

    done = tledger("deploy-check", "--tasks", package)

    assert done.exit_code == 2
    assert "The release was not checked. This needs an admin." in done.stderr


def test_neither_is_one_without_a_key(tledger, package, monkeypatch):
    monkeypatch.delenv("TASKLEDGER_API_KEY")

    done = tledger("deploy-check", "--tasks", package)

    assert (done.exit_code, "not logged in" in done.stderr) == (2, True)


def test_a_package_that_cannot_be_imported_is_not_checked(tledger, home):
    done = tledger("deploy-check", "--tasks", "no_such_package_of_acme")

    assert done.exit_code == 2
    assert "no_such_package_of_acme cannot be imported" in done.stderr
