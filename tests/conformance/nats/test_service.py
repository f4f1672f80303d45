"""What only NATS can do to the service: no JetStream, and a message that its workers do not survive."""

import os
import signal
from uuid import uuid4

import psutil
import requests

from tests.chaos.evidence import assert_one_outcome_each
from tests.support.people import make_admin
from tests.support.servers.nats import PrivateNats, find_nats_server
from tests.support.servers.programs import Api, Worker, service_environment
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for


def test_without_jetstream_the_worker_says_so_in_one_line_and_submissions_are_accepted(databases, nats_server):
    database_url = databases.create(f"without_jetstream_{uuid4().hex[:8]}")
    with PrivateNats(find_nats_server(), jetstream=False) as server:
        environment = service_environment(database_url=database_url, broker_url=server.url("t"))
        worker = Worker(environment).start()  # never ready
        try:
            wait_for(lambda: "has no JetStream" in worker.log, timeout=30, what="the worker says so")
            assert "Traceback" not in worker.log
        finally:
            worker.end()
        with Api(environment) as api:
            headers = make_admin(database_url).headers  # strangers are not told what is wrong
            answer = requests.get(f"{api.url}/health/ready", headers=headers, timeout=10)
            body = {"type": "reverse_string", "payload": "accepted"}
            accepted = requests.post(f"{api.url}/api/v1/tasks", json=body, headers=headers, timeout=10)

    assert answer.status_code == 503
    assert "has no JetStream" in answer.json()["errors"]["broker"][0]
    assert accepted.status_code == 201


def test_a_hint_whose_workers_are_killed_ends_among_the_dead_letters_and_its_task_runs_once(
    databases, nats_server, tmp_path
):
    """Redelivered after a second, twice at most; the ledger rescues the task meanwhile."""
    url = f"{nats_server.new_url()}?ack_wait=1&max_deliveries=2"
    database_url = databases.create(f"poison_{uuid4().hex[:8]}")
    trace = tmp_path / "trace"
    with Stack(database_url=database_url, broker_url=url, lease_seconds="3") as stack:
        stack.worker.kill()
        task_id = stack.submit("trace_run", {"path": str(trace), "seconds": 0.5})
        wait_for(lambda: stack.broker.ready() > 0, what="its hint waits")
        for _ in range(2):  # a worker that takes the hint and dies of it
            worker = Worker(stack.environment, concurrency=1).start().wait_until_ready()
            wait_for(lambda: f"Task trace_run[{task_id}] received" in worker.log_of_this_run, timeout=20)  # noqa: B023
            _kill_with_children(worker)

        stack.worker.start().wait_until_ready()
        stack.wait_until("COMPLETED", [task_id], timeout=40)

        assert_one_outcome_each(stack, [task_id])
        wait_for(lambda: stack.broker.ready("tasks.dead") >= 1, timeout=30, what="the hint is a dead letter")
        with stack.broker.connect() as connection:
            letter = connection.default_channel.basic_get("tasks.dead", no_ack=True)
        assert letter.headers["x-death"][0]["reason"] == "delivery_limit"
        assert task_id in str(letter.payload)


def _kill_with_children(worker: Worker) -> None:
    children = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    for child in children:
        try:
            os.kill(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    worker.end()
