"""Brokers and workers that are killed or freeze, and messages that are no hints: the same on every broker."""

import pickle
import time
from uuid import uuid4

import psutil
import pytest
import requests

from tests.chaos.evidence import assert_histories_hold, wait_until_running
from tests.conformance.evidence import assert_each_ended_once
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

MAX_SECONDS = 0.5


def test_a_broker_that_is_killed_and_comes_back_loses_no_task_and_repeats_none(stack, server, tmp_path):
    trace = tmp_path / "trace"
    running = stack.submit("trace_run", {"path": str(trace), "seconds": 6})
    wait_until_running(stack, running)
    waiting = [stack.submit("uppercase_text", f"before {number}") for number in range(10)]
    server.kill()
    try:
        wait_for(lambda: _readiness(stack) == (503, ["broker"]), timeout=20, what="it is not ready without its broker")
        during = [stack.submit("uppercase_text", f"during {number}") for number in range(10)]
    finally:
        server.start()
    server.wait_until_ready()

    stack.wait_until("COMPLETED", [running, *waiting, *during], timeout=60)

    wait_for(lambda: _readiness(stack)[0] == 200, timeout=20, what="it is ready again")
    assert_each_ended_once(stack, [running, *waiting, *during])
    assert_histories_hold(stack)
    assert trace.read_text().count("start") == 1, "the loss of the broker neither ended nor repeated what ran"


def test_a_worker_that_loses_its_broker_with_one_task_in_hand_goes_on(stack, server, tmp_path):
    """Its other children are free, so that it asks for more while the broker goes."""
    worker = stack.worker.pid
    running = stack.submit("trace_run", {"path": str(tmp_path / "trace"), "seconds": 4})
    wait_until_running(stack, running)

    _lose(stack, server)

    stack.wait_until("COMPLETED", [running], timeout=20)
    time.sleep(3)  # until what came over the lost connection is acknowledged
    assert stack.worker.pid == worker
    assert stack.worker.is_running
    assert_each_ended_once(stack, [running])


def test_a_worker_that_loses_its_broker_again_and_again_leaks_nothing(stack, server):
    def descriptors() -> int:
        return psutil.Process(stack.worker.pid).num_fds()

    def threads() -> int:
        return psutil.Process(stack.worker.pid).num_threads()

    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "before")], timeout=40)
    _lose(stack, server)
    before = descriptors(), threads()
    for _ in range(2):
        _lose(stack, server)

    wait_for(lambda: descriptors() <= before[0] + 2 and threads() <= before[1] + 1, timeout=10, what="it holds no more")


def _lose(stack, server) -> None:
    server.kill()
    server.start().wait_until_ready()
    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "after")], timeout=40)


def test_submissions_are_answered_at_once_while_the_broker_hangs(stack, server):
    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "connections are open")], timeout=40)
    took, ids = [], []
    server.pause()
    try:
        for number in range(30):
            began = time.perf_counter()
            ids.append(stack.submit("uppercase_text", f"number {number}"))
            took.append(time.perf_counter() - began)
            time.sleep(0.1)
    finally:
        server.resume()

    stack.wait_until("COMPLETED", ids, timeout=60)

    assert sorted(took)[-2] < MAX_SECONDS  # one may have met a busy machine


def test_a_worker_that_is_killed_in_the_middle_of_a_task_is_rescued_once(stack, tmp_path):
    trace = tmp_path / "trace"
    task_id = stack.submit("trace_run", {"path": str(trace), "seconds": 3})
    wait_until_running(stack, task_id)
    waiting = [stack.submit("uppercase_text", f"number {number}") for number in range(10)]
    stack.worker.kill()

    stack.worker.start().wait_until_ready()

    stack.wait_until("COMPLETED", [task_id, *waiting], timeout=60)
    assert_each_ended_once(stack, [task_id, *waiting])
    assert_histories_hold(stack)


def test_a_child_that_is_killed_costs_an_attempt_and_no_outcome(stack):
    task_id = stack.submit("kill_itself", 0.1)

    stack.wait_until("FAILED", [task_id], timeout=60)

    [row] = stack.rows("SELECT attempt, error->>'type' AS error FROM tasks WHERE id = %(id)s", {"id": task_id})
    assert row == {"attempt": 3, "error": "WorkerLost"}


def test_what_is_no_hint_ends_no_worker_and_is_shown_among_the_dead_letters(stack):
    worker, before = stack.worker.pid, stack.broker.ready("tasks.dead")
    foreign = [
        (b"{broken", {"content_type": "application/json", "content_encoding": "utf-8"}),
        (pickle.dumps({"a": 1}), {"content_type": "application/x-python-serialize", "content_encoding": "binary"}),
        (b'{"hello": 1}', {"content_type": "application/json", "content_encoding": "utf-8"}),
    ]
    with stack.broker.connect() as connection:
        channel = connection.default_channel
        for body, properties in foreign:
            message = channel.prepare_message(body, priority=3, headers={}, **properties)
            channel.basic_publish(message, exchange="", routing_key="tasks")
    stack.broker.publish_hint("no_such_type", [str(uuid4())])
    stack.broker.publish_hint("reverse_string", ["not-an-id"])

    after = [stack.submit("uppercase_text", f"behind {number}") for number in range(10)]
    stack.wait_until("COMPLETED", after, timeout=30)

    if stack.broker.kind.dead_letters:
        wait_for(lambda: stack.broker.ready("tasks.dead") >= before + 5, timeout=15, what="all are dead letters")
    assert stack.worker.pid == worker
    assert stack.worker.is_running


@pytest.mark.parametrize("fault", ["wrong URL", "refused connection", "wrong password"])
def test_a_broker_that_cannot_be_used_is_said_in_one_line_and_submissions_are_accepted(fault, stack, server):
    url = _faulty(fault, stack.broker.url, server)
    environment = {**stack.environment, "BROKER_URL": url}
    worker = Worker(environment).start()  # never ready
    try:
        wait_for(lambda: "Cannot connect to" in worker.log, timeout=30, what="the worker says so")
        [line] = [line for line in worker.log.splitlines() if "Cannot connect to" in line][:1]
        assert "Traceback" not in worker.log
        assert "only-for-these-tests" not in worker.log
        assert worker.is_running, "it tries again"
    finally:
        worker.end()
    with type(stack.api)(environment) as api:
        answer = requests.get(f"{api.url}/health/ready", timeout=10)
        assert (answer.status_code, list(answer.json()["errors"])) == (503, ["broker"])
        body = {"type": "reverse_string", "payload": "accepted"}
        accepted = requests.post(f"{api.url}/api/v1/tasks", json=body, headers=stack.http.headers, timeout=10)
        assert accepted.status_code == 201, accepted.text
    stack.wait_until("COMPLETED", [accepted.json()["id"]], timeout=30)  # by the processes that have the right URL
    assert _named(fault, server.port) in line


def _faulty(fault: str, url: str, server) -> str:
    head, _, path = url.rpartition("/")
    if fault == "wrong URL":  # a host that does not exist
        return url.replace("127.0.0.1", "no-such-host.invalid")
    if fault == "refused connection":
        return f"{head.rpartition(':')[0]}:1/{path}"
    return server.url(path, password="not-the-password")


def _named(fault: str, port: int) -> str:
    """Where the worker says that it cannot connect."""
    return {"wrong URL": "no-such-host.invalid", "refused connection": "127.0.0.1:1/"}.get(fault, f"127.0.0.1:{port}/")


def _readiness(stack) -> tuple[int, list[str]]:
    answer = requests.get(f"{stack.api.url}/health/ready", timeout=10)
    return answer.status_code, list(answer.json().get("errors", ()))
