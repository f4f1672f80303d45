"""Celery's remote control and events, on every broker: inspect, control and Flower."""

import json
import os
import subprocess
import sys

import pytest
import requests

from tests.support.servers.databases import ROOT
from tests.support.servers.programs import Flower, Worker
from tests.support.servers.waiting import wait_for


def _node(worker: Worker) -> str:
    return f"{worker.node}@{os.uname().nodename}"


def _celery(stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "celery", "-A", "tasks", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_celery_inspect_ping_is_answered_by_every_worker(stack):
    with Worker(stack.environment) as second:
        shown = _celery(stack, "inspect", "ping", "--timeout", "5")

    assert "2 nodes online" in shown
    assert _node(stack.worker) in shown
    assert _node(second) in shown


def test_celery_inspect_reaches_one_worker_by_its_name(stack):
    answers = json.loads(
        _celery(stack, "inspect", "active_queues", "--json", "--timeout", "10", "-d", _node(stack.worker))
    )

    assert [queue["name"] for queue in answers[_node(stack.worker)]] == ["tasks", "webhooks"]


def test_celery_control_changes_a_worker(stack):
    _celery(stack, "control", "pool_grow", "1", "--timeout", "10", "-d", _node(stack.worker))
    try:
        # Celery looks every 5 s whether it has as many as it should.
        wait_for(lambda: _children(stack) == 3, timeout=40, what="the worker has a third child")
    finally:
        _celery(stack, "control", "pool_shrink", "1", "--timeout", "10", "-d", _node(stack.worker))


def test_flower_lists_workers_and_tasks(stack):
    with Flower(stack.environment) as flower:
        wait_for(lambda: flower.hears(stack.worker), timeout=30, what="Flower hears of the worker")
        task_id = stack.submit("reverse_string", "petal", priority="high")  # not in a chunk: under its own id
        stack.wait_until("COMPLETED", [task_id])

        shown = wait_for(lambda: flower.finished(task_id), what="Flower shows the task as finished")
        workers = wait_for(lambda: _workers(flower), timeout=30, what="Flower has asked the worker")

    assert (shown["name"], shown["state"]) == ("reverse_string", "SUCCESS")
    assert [queue["name"] for queue in workers[_node(stack.worker)]["active_queues"]] == ["tasks", "webhooks"]


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_worker_with_another_pool_runs_tasks_and_answers(pool, stack):
    with stack.without_worker(), Worker(stack.environment, "--pool", pool) as worker:
        task = stack.task(stack.submit("reverse_string", "stressed"), wait=30)
        shown = _celery(stack, "inspect", "ping", "--timeout", "10", "-d", _node(worker))

    assert (task["status"], task["result"]) == ("COMPLETED", "desserts")
    assert "pong" in shown


def _children(stack) -> int:
    stats = json.loads(_celery(stack, "inspect", "stats", "--json", "--timeout", "10"))
    return len(stats[_node(stack.worker)]["pool"]["processes"])


def _workers(flower: Flower) -> dict:
    """What Flower learns by asking the workers."""
    shown = requests.get(f"{flower.url}/api/workers?refresh=1", auth=flower.login, timeout=20).json()
    return {name: worker for name, worker in shown.items() if worker.get("active_queues")}
