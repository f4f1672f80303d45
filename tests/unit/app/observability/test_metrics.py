"""Counting together: a slot for each process that is alive, and gauges of the living only."""

import os

import pytest

from app.observability.metrics import Shared


@pytest.fixture
def directory(tmp_path):
    return tmp_path


def in_a_child(work) -> int:
    """What `work` returns in a forked process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_process_keeps_its_slot(directory):
    shared = Shared(directory)

    assert [shared.slot(), shared.slot()] == [0, 0]


def test_another_process_takes_another_slot(directory):
    Shared(directory).slot()
    first, second = Shared(directory), Shared(directory)

    assert [first.slot(), second.slot()] == [1, 2]


def test_a_forked_process_takes_a_slot_of_its_own_and_leaves_the_parents_alone(directory):
    shared = Shared(directory)
    shared.slot()

    assert in_a_child(shared.slot) == 1
    assert Shared(directory).slot() == 1, "that of the child is free again"


def test_what_gauges_said_of_the_dead_is_forgotten(directory):
    shared = Shared(directory)
    shared.slot()
    for number in (0, 1):
        (directory / f"gauge_livesum_{number}.db").touch()
        (directory / f"counter_{number}.db").touch()

    shared.forget_the_dead()

    assert {path.name for path in directory.glob("*.db")} == {"gauge_livesum_0.db", "counter_0.db", "counter_1.db"}


def test_a_directory_is_abandoned_when_nobody_holds_a_slot(directory):
    shared = Shared(directory)
    in_a_child(shared.slot)
    assert shared.is_abandoned()

    shared.slot()

    assert not Shared(directory).is_abandoned()
