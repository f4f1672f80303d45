"""Celery's own tools work as its users know them: the worker's options, inspect, and Flower."""

import os
import subprocess
import sys
from uuid import uuid4

import pytest
import requests

from tests.support.servers.databases import ROOT
from tests.support.servers.programs import Flower, Worker
from tests.support.servers.waiting import wait_for

TYPES = ("fibonacci_calc", "reverse_string", "uppercase_text")


def test_celery_worker_help_shows_all_of_its_options(stack):
    shown = _celery(stack, "worker", "--help")

    for option in ("--concurrency", "--pool", "--queues", "--max-tasks-per-child", "--autoscale", "--statedb"):
        assert option in shown


@pytest.mark.parametrize(
    "options",
    [
        ("--pool", "solo"),
        ("--pool", "threads"),
        ("--queues", "tasks", "--max-tasks-per-child", "1", "--prefetch-multiplier", "4"),
        ("--autoscale", "2,1", "--without-gossip", "--without-heartbeat"),
    ],
    ids=" ".join,
)
def test_a_worker_started_with_options_of_celery_runs_tasks(stack, options):
    with stack.without_worker(), Worker(stack.environment, *options):
        task_id = stack.submit("reverse_string", "stressed")

        task = stack.task(task_id, wait=30)

    assert (task["status"], task["result"]) == ("COMPLETED", "desserts")


def test_celery_inspect_names_every_task_type(stack):
    node = f"{stack.worker.node}@{os.uname().nodename}"
    shown = _celery(stack, "inspect", "registered", "--timeout", "30", "--destination", node)

    for name in TYPES:
        assert name in shown


@pytest.mark.parametrize("command", ["revoke", "revoke with terminate", "terminate"])
def test_remote_control_cancels_tasks_that_wait_and_tasks_that_run(stack, command):
    waiting = stack.submit("sleep_for", 30.0, scheduled_at="2100-01-01T00:00:00Z")
    running = stack.submit("sleep_for", 30.0, priority="high")
    stack.wait_until("PROCESSING", [running])
    ids = [waiting, running, str(uuid4())]

    match command:
        case "revoke":
            shown = _celery(stack, "control", "revoke", *ids)
        case "terminate":
            shown = _celery(stack, "control", "terminate", "TERM", *ids)
        case _:
            call = f"print(app.control.revoke({ids}, terminate=True, reply=True))"
            shown = _run(stack, [sys.executable, "-c", f"from tasks.celery import app; {call}"])

    assert "3 tasks are being cancelled" in shown
    stack.wait_until("CANCELLED", [waiting, running])
    rows = stack.rows("SELECT cancel_receipt FROM tasks WHERE id = ANY(%(ids)s::uuid[])", {"ids": [waiting, running]})
    assert {row["cancel_receipt"] for row in rows} == {"never_started", "stopped"}


def test_a_task_whose_id_was_revoked_before_runs_once_it_is_replayed(stack):
    task_id = stack.submit("reverse_string", "stressed", priority="high", scheduled_at="2100-01-01T00:00:00Z")
    _celery(stack, "control", "revoke", task_id)
    stack.wait_until("CANCELLED", [task_id])

    assert stack.post(f"/tasks/{task_id}/retry", {}).status_code < 300
    stack.wait_until("COMPLETED", [task_id])


def test_flower_lists_a_task_by_its_id_with_its_type_and_state(stack):
    with Flower(stack.environment) as flower:
        wait_for(lambda: flower.hears(stack.worker), timeout=30, what="Flower hears of the worker")
        task_id = stack.submit("reverse_string", "petal", priority="high")  # high: not in a chunk, so under its own id
        stack.wait_until("COMPLETED", [task_id])

        shown = wait_for(lambda: flower.finished(task_id), what="Flower shows the task as finished")

    assert (shown["name"], shown["state"]) == ("reverse_string", "SUCCESS")
    assert "petal" not in str(shown), "a message holds no payload"


def test_flower_tells_nothing_without_its_password(stack):
    with Flower(stack.environment) as flower:
        assert requests.get(f"{flower.url}/api/tasks", timeout=5).status_code == 401


def _celery(stack, *arguments: str) -> str:
    return _run(stack, [sys.executable, "-m", "celery", "-A", "tasks", *arguments])


def _run(stack, command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
