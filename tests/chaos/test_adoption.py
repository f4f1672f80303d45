"""The same Celery application under kill -9 of its workers and a purged broker: plain Celery's count beside ours."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each
from tests.support.adoption.programs import AppWorker, adopted_environment, environment_of
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import kill_all
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

TASKS = 200
SECONDS_EACH = 0.2
KILLS = 3
QUIET_SECONDS = 6.0
SUBMIT = f"""
from tests.support.adoption.tasks import slow_note
print("\\n".join(slow_note.delay(number, {SECONDS_EACH}).id for number in range({TASKS})))
"""


def submitted(environment: dict[str, str]) -> list[str]:
    """All tasks, submitted by .delay()."""
    shown = subprocess.run(
        [sys.executable, "-c", SUBMIT], env=environment, cwd=ROOT, check=True, capture_output=True, timeout=240
    )
    return shown.stdout.decode().split()


def ran(directory: Path) -> Counter[int]:
    """How often each number was run to its end."""
    path = directory / "record"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return Counter(each["number"] for each in lines if each["what"] == "noted")


def killed(command: str, environment: dict[str, str], directory: Path, purge) -> None:
    """Kill the worker with all of its children some times, at last after a purge."""
    for number in range(KILLS):
        worker = AppWorker(command, environment, *options_of(command), concurrency=4)
        with worker:
            before = sum(ran(directory).values())
            wait_for(lambda before=before: sum(ran(directory).values()) >= before + TASKS // 10, timeout=120)
            if number == KILLS - 1:
                purge()
            parent = psutil.Process(worker.pid)
            kill_all([parent, *parent.children(recursive=True)])


def drained(environment: dict[str, str], directory: Path) -> None:
    """Let another worker of Celery's own take what the broker still has."""
    with AppWorker("worker", environment, *options_of("worker"), concurrency=4):
        seen, since = sum(ran(directory).values()), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            now = sum(ran(directory).values())
            if now != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.2)


def options_of(command: str) -> tuple[str, ...]:
    return ("--without-mingle", "-Q", "adoption,other") if command == "worker" else ()


def counted(directory: Path) -> str:
    numbers = ran(directory)
    doubled = sum(count > 1 for count in numbers.values())
    return f"{TASKS - len(numbers)} lost, {doubled} run more than once"


@pytest.mark.parametrize("acks_late", [False, True], ids=["as Celery comes", "with acks_late"])
def test_plain_celery_loses_what_ours_keeps(acks_late, make_stack, rabbitmq, tmp_path, ledger):
    celery, ours = tmp_path / "celery", tmp_path / "ours"
    celery.mkdir(), ours.mkdir()
    plain = environment_of(
        celery,
        ADOPTION_BROKER=rabbitmq.new_url(),
        ADOPTION_RECORD=str(celery / "record"),
        ADOPTION_ACKS_LATE="1" if acks_late else "",
    )
    stack = make_stack(lease_seconds="6")
    adopted = adopted_environment(ours, stack)
    declared = [sys.executable, "-m", "celery", "-A", "tests.support.adoption.application", "ledger", "--declare-only"]
    subprocess.run(declared, env=adopted, cwd=ROOT, check=True, capture_output=True, timeout=60)

    submitted(plain)
    killed("worker", plain, celery, lambda: purge(plain))
    drained(plain, celery)
    ids = submitted(adopted)
    killed("ledger", adopted, ours, lambda: stack.rows("DELETE FROM hints RETURNING 1"))
    with AppWorker("ledger", adopted, concurrency=4):
        wait_for(lambda: stack.statuses(ids) == {"COMPLETED": TASKS}, timeout=300, what="all of ours are completed")

    how = "acks_late, " if acks_late else ""
    ledger.note(f"{TASKS} Celery tasks, {KILLS} times kill -9, broker purged once: {how}Celery {counted(celery)}")
    ledger.note(f"the same application adopted: {counted(ours)}")
    assert len(ran(celery)) < TASKS
    assert len(ran(ours)) == TASKS
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)


def purge(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "celery", "-A", "tests.support.adoption.application", "purge", "-f"]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, timeout=60)
