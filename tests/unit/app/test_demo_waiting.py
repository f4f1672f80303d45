"""How long `make demo` waits for the tasks that it has submitted."""

import time

import pytest

from app.embedded import demo
from app.embedded.demo import Demo, table_of
from app.embedded.settings import load

ASKS = {"signal": "approved"}


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What was asked of a service in which every task is what it was before."""
    paths: list[str] = []

    def answer(_self, _method, path, **_options):
        paths.append(path)
        return task("WAITING", ASKS) if "approve" in path else task("RETRYING")

    monkeypatch.setattr(Demo, "_asked", answer)
    return paths


def task(status, waits_for=None):
    shown = {"id": "approve" if waits_for else "other", "type": "x", "status": status, "waits_for": waits_for}
    return {**shown, "reason": "waits for the signal approved", "error": None, "result": None, "created_at": None}


def test_a_task_that_waits_for_somebody_has_come_as_far_as_it_can(asked):
    found = Demo(load({})).finished(task("PENDING", ASKS) | {"waits_for": None}, give_up=time.monotonic() + 60)

    assert (found["status"], len(asked)) == ("WAITING", 1)


def test_patience_is_one_for_all_tasks(asked, monkeypatch):
    monkeypatch.setattr(Demo, "payloads", lambda _: [(str(number), 1) for number in range(20)])
    monkeypatch.setattr(Demo, "types", {})
    monkeypatch.setattr(Demo, "submit", lambda *_: task("RETRYING"))
    # A question takes as long as it may: the service answers after its long poll.
    monkeypatch.setattr(demo.time, "monotonic", lambda: len(asked) * demo.LOOK_SECONDS)

    Demo(load({})).run(demo.Console(quiet=True))

    assert asked
    assert (len(asked) - 1) * demo.LOOK_SECONDS < demo.PATIENCE_SECONDS


def test_a_task_that_has_not_ended_is_shown_with_the_reason():
    cells = [list(column.cells) for column in table_of([task("WAITING", ASKS)]).columns]

    assert cells[-1] == ["waits for the signal approved"]
