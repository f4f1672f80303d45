"""The watchdog ends a process whose main thread is stuck, whatever it is stuck in."""

import subprocess
import sys
import time

import pytest

from app import watchdog
from tests.support.servers.databases import ROOT

STUCK = {
    "in a call that waits": "import socket; a, b = socket.socketpair(); a.recv(1)",
    "in a lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "in an exit handler": "import atexit, time; atexit.register(time.sleep, 60)",
    "in a thread that is waited for": "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
}
HOLDS_INTERPRETER = "import itertools, collections; collections.deque(itertools.repeat(None), maxlen=0)"


def run_until_ended(code: str) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)
    return done, time.monotonic() - began


@pytest.mark.parametrize("stuck", STUCK)
def test_a_process_that_is_stuck_is_ended_and_says_where_it_was(stuck):
    done, _ = run_until_ended(f"from app import watchdog; watchdog.end_within(0.3); {STUCK[stuck]}")

    assert done.returncode == watchdog.EXIT_STATUS
    assert "process_ended_by_watchdog" in done.stdout + done.stderr
    assert "main_thread" in done.stdout + done.stderr


def test_a_process_whose_interpreter_is_held_is_ended_by_the_kernel():
    done, seconds = run_until_ended(f"from app import watchdog; watchdog.end_within(0.3); {HOLDS_INTERPRETER}")

    assert done.returncode == -14  # SIGALRM
    assert seconds < 20


def test_what_is_to_be_done_before_is_done_and_an_error_in_it_keeps_nothing_alive():
    done, _ = run_until_ended(
        "import time; from app import watchdog; watchdog.end_within(0.3, before=lambda: print(1 / 0)); time.sleep(60)"
    )

    assert done.returncode == watchdog.EXIT_STATUS


def test_a_process_that_ends_in_time_is_left_alone():
    done, _ = run_until_ended("from app import watchdog; watchdog.end_within(30)")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
