"""`celery -A … ledger` as an operator meets it: pools, queues, stops, cancels, limits, and what it refuses."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from tests.conftest import empty_broker_url
from tests.support.adoption.programs import APP, AppWorker, adopted_environment
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def stack(databases, request) -> Iterator[Stack]:
    database_url = databases.create(f"adopted_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        yield stack
    databases.drop(database_url)


@pytest.fixture
def environment(stack, tmp_path) -> dict[str, str]:
    return adopted_environment(tmp_path, stack)


@pytest.fixture(scope="module", autouse=True)
def _declared(stack, tmp_path_factory) -> None:
    shown = command(adopted_environment(tmp_path_factory.mktemp("declared"), stack), "--declare-only")
    assert "task types were declared" in shown.stdout, shown.stderr


def command(environment: dict[str, str], *options: str, app: str = APP) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "celery", "-A", app, "ledger", *options]
    return subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)


Submit = Callable[..., str]


@pytest.fixture
def submit(stack) -> Submit:
    def submit(task: str, *args: Any, **kwargs: Any) -> str:
        return stack.submit(f"adoption.{task}", {"args": list(args), "kwargs": kwargs})

    return submit


@pytest.mark.parametrize(
    "options",
    [("--pool", "threads"), ("--pool", "solo"), ("--autoscale", "3,1"), ("--max-tasks-per-child", "2")],
    ids=" ".join,
)
def test_every_pool_runs_retries_and_fails_tasks(options, stack, environment, submit):
    with AppWorker("ledger", environment, *options):
        added = [submit("add", number, 1) for number in range(6)]
        retried, failed = submit("retrying", 1), submit("fails", "broken")

        stack.wait_until("COMPLETED", [*added, retried], timeout=60)
        stack.wait_until("FAILED", [failed], timeout=30)

    assert stack.task(retried)["attempt"] == 2
    assert stack.task(failed)["error"]["message"] == "broken"


def test_a_warm_stop_lets_tasks_end_and_gives_back_what_has_not_begun(stack, environment, submit):
    worker = AppWorker("ledger", environment, concurrency=1)
    with worker:
        running = submit("sleeps", 2.0)
        stack.wait_until("PROCESSING", [running])
        wait_for(lambda: seen(environment, running), timeout=20)
        waiting = [submit("add", 1, 1) for _ in range(3)]

        status = worker.stop(timeout=40)

    assert status == 0
    assert stack.task(running)["status"] == "COMPLETED"
    assert stack.statuses(waiting) == {"PENDING": 3}
    with AppWorker("ledger", environment):
        stack.wait_until("COMPLETED", waiting, timeout=60)


def seen(environment: dict[str, str], task_id: str) -> bool:
    record = Path(environment["ADOPTION_RECORD"])
    return record.exists() and f'"what": "run", "id": "{task_id}"' in record.read_text()


def test_a_cold_stop_ends_tasks_and_another_worker_runs_them_again_uncounted(stack, environment, submit):
    with AppWorker("ledger", environment) as worker:
        task_id = submit("sleeps", 5.0)
        wait_for(lambda: seen(environment, task_id), timeout=30)
        worker.send(signal.SIGQUIT)
        worker.wait(timeout=30)

    assert (stack.task(task_id)["status"], stack.task(task_id)["attempt"]) == ("PENDING", 0)
    with AppWorker("ledger", environment):
        stack.wait_until("COMPLETED", [task_id], timeout=60)


def test_a_cancelled_task_is_ended_and_its_child_replaced(stack, environment, submit):
    with AppWorker("ledger", environment, concurrency=1) as worker:
        task_id = submit("sleeps", 60.0)
        wait_for(lambda: seen(environment, task_id), timeout=30)
        before = worker.child_pids()

        stack.post(f"/tasks/{task_id}/cancel", {})

        stack.wait_until("CANCELLED", [task_id], timeout=60)
        after = submit("add", 1, 1)
        stack.wait_until("COMPLETED", [after], timeout=30)
        assert worker.child_pids() != before


def test_children_that_are_killed_while_they_wait_are_replaced(stack, environment, submit):
    with AppWorker("ledger", environment, concurrency=2) as worker:
        stack.wait_until("COMPLETED", [submit("add", 1, 1)], timeout=30)
        children = worker.child_pids()

        for pid in children:
            psutil.Process(pid).kill()

        stack.wait_until("COMPLETED", [submit("add", number, 1) for number in range(4)], timeout=60)


def test_a_worker_with_queues_takes_their_tasks_and_calls_that_name_them(stack, environment, submit):
    with AppWorker("ledger", environment, "-Q", "other"):
        elsewhere, default = submit("elsewhere"), submit("add", 1, 1)
        script = (
            "from tests.support.adoption.tasks import add;print(add.apply_async((2, 3), queue='other').get(timeout=40))"
        )
        shown = subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True
        )

        stack.wait_until("COMPLETED", [elsewhere], timeout=30)
        assert stack.task(default)["status"] == "PENDING"

    assert shown.stdout.strip() == "5", shown.stderr
    with AppWorker("ledger", environment):
        stack.wait_until("COMPLETED", [default], timeout=60)


def test_a_key_that_may_only_work_goes_on_with_what_is_declared(stack, environment, submit):
    types = [each["name"] for each in stack.get("/task-types").json()["items"] if each["remote"]]
    made = stack.post("/api-keys", {"name": "worker", "scopes": ["work"], "allowed_types": types})
    assert made.status_code == 201, made.text
    with AppWorker("ledger", {**environment, "TASKLEDGER_API_KEY": made.json()["key"]}) as worker:
        stack.wait_until("COMPLETED", [submit("add", 1, 1)], timeout=30)

        assert "may not declare task types" in worker.log


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pool", "acme"), "give one of prefork"),
        (("--autoscale", "1,9"), "most and least"),
        (("-Q", "nowhere", "-X", "nowhere"), "no task goes to"),
    ],
)
def test_what_it_does_not_have_is_refused_at_the_start(options, words, environment):
    shown = command(environment, *options)

    assert shown.returncode != 0
    assert words in shown.stderr


def test_an_application_that_is_not_adopted_is_told_so(environment):
    shown = command({name: value for name, value in environment.items() if name != "ADOPTED"})

    assert shown.returncode != 0
    assert "adopt(app)" in shown.stderr


def test_a_limit_of_celery_holds_for_all_workers_and_is_said(stack, environment, tmp_path):
    module = tmp_path / "limited.py"
    module.write_text(
        "from celery import Celery\nfrom taskledger_sdk.celery import adopt\n"
        "app = adopt(Celery('limited', broker='memory://'))\n"
        "@app.task(name='limited.tick', rate_limit='2/s')\ndef tick(): return 1\n"
    )
    environment |= {"PYTHONPATH": os.pathsep.join([environment["PYTHONPATH"], str(tmp_path)])}
    with AppWorker("ledger", environment, app="limited") as first, AppWorker("ledger", environment, app="limited"):
        assert "holds for the whole installation" in first.log
        began = time.monotonic()
        ids = [stack.submit("limited.tick", {"args": [], "kwargs": {}}) for _ in range(8)]

        stack.wait_until("COMPLETED", ids, timeout=60)

    assert time.monotonic() - began > 2
