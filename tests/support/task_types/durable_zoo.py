"""durable_zoo: ten steps, three sleeps, two signals and five children, each step noted when it runs; for tests only."""

import os
import time
from dataclasses import dataclass
from datetime import timedelta

from taskledger_sdk import DurableTask, RetryPolicy, child, task_type


@dataclass(frozen=True, kw_only=True)
class DurableZoo:
    """Where runs of steps are noted, and how much of everything there is."""

    path: str
    steps: int = 10
    sleeps: int = 3
    sleep_seconds: float = 0.5
    signals: int = 2
    children: int = 5


def _note(path: str, line: str) -> str:
    """By whom and when it was done; one write of less than a block, so that lines of several processes do not mix."""
    done = f"{line} {os.getpid()} {time.time()}"
    with open(path, "ab", buffering=0) as file:
        file.write(f"{done}\n".encode())
    time.sleep(0.03)  # what is killed now has been done, and is not recorded
    return done


@task_type(
    "durable_zoo",
    durable=True,
    retry=RetryPolicy(max_retries=20, base_seconds=0.1, cap_seconds=0.5),
    examples=({"path": "/tmp/steps"},),
)
def durable_zoo(task: DurableTask, payload: DurableZoo) -> dict[str, object]:
    """Interleave steps with everything that is waited for; return what the steps returned."""
    returned: list[str] = []
    sleeps, signals = payload.sleeps, payload.signals
    calls = [task.call("reverse_string", f"{task.id} {n}", step=f"call {n}") for n in range(payload.children // 2)]
    for number in range(payload.steps):
        returned.append(task.once(f"step {number}", _note, payload.path, f"{task.id} {number}"))
        if number % 3 == 1 and sleeps:
            sleeps -= 1
            task.sleep(timedelta(seconds=payload.sleep_seconds))
        if number % 3 == 2 and signals:
            signals -= 1
            returned.append(task.wait_for("go"))
    left = payload.children - len(calls)
    gathered = task.gather([child("reverse_string", f"{task.id} {n}") for n in range(left)], max_parallel=2)
    return {"returned": returned, "children": [*[call.result() for call in calls], *gathered]}


@dataclass(frozen=True, kw_only=True)
class WaitForIt:
    """What is waited for, and how long at most."""

    signal: str = "go"
    timeout_seconds: float | None = None


@task_type("wait_for_it", durable=True, examples=({"signal": "go"},))
def wait_for_it(task: DurableTask, payload: WaitForIt) -> object:
    """Wait for a signal, and return its data; null where none came in time."""
    return task.wait_for(payload.signal, timeout=payload.timeout_seconds, default=None)
