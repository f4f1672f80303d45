"""The gate before the pool of connections: never more than its places, and first come, first served."""

import threading
import time

import pytest

from app.worker.fair_gate import FairGate
from tests.support.servers.waiting import wait_for


def enter(gate: FairGate, served: list[int], number: int, leave: threading.Event) -> threading.Thread:
    def run():
        with gate:
            served.append(number)
            leave.wait(5)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_those_who_wait_are_let_in_in_the_order_in_which_they_came():
    gate, served, leave = FairGate(1), [], threading.Event()
    threads = []
    for number in range(20):
        threads.append(enter(gate, served, number, leave))
        wait_for(lambda number=number: served == [0] and len(gate._waiting) == number)

    leave.set()
    for thread in threads:
        thread.join(5)

    assert served == list(range(20))


def test_never_more_are_in_it_than_it_has_places():
    gate, inside, seen, lock = FairGate(3), [0], [], threading.Lock()

    def run():
        for _ in range(50):
            with gate:
                with lock:
                    inside[0] += 1
                    seen.append(inside[0])
                time.sleep(0)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert max(seen) == 3
    assert gate._free == 3


def test_an_error_in_it_leaves_it():
    gate = FairGate(1)
    for _ in range(2):
        with pytest.raises(LookupError), gate:
            raise LookupError

    assert gate._free == 1


class Interrupted(threading.local):
    """A lock that a signal interrupts while its thread waits for it; `before` happens just before that."""

    def __init__(self, before) -> None:
        self._before = before
        self._acquired = 0

    def acquire(self) -> None:
        self._acquired += 1
        if self._acquired == 2:
            self._before()
            raise SystemExit

    def release(self) -> None:
        pass


@pytest.mark.parametrize("comes", ["while it waits", "when it has just been let in"])
def test_who_is_interrupted_at_the_gate_keeps_no_place(monkeypatch, comes):
    gate = FairGate(1)
    gate.__enter__()
    let_in = (lambda: gate.__exit__(None, None, None)) if comes == "when it has just been let in" else (lambda: None)
    real = threading.Lock
    monkeypatch.setattr("app.worker.fair_gate.threading.Lock", lambda: Interrupted(let_in))
    with pytest.raises(SystemExit):
        gate.__enter__()
    monkeypatch.setattr("app.worker.fair_gate.threading.Lock", real)
    if comes == "while it waits":
        gate.__exit__(None, None, None)

    assert (gate._free, len(gate._waiting)) == (1, 0)
