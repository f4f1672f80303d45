"""One request, followed through every process: its id in logs and outgoing calls, its trace, and the metrics."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import requests

from tests.conftest import empty_broker_url
from tests.support.servers.otlp import Collector, Span
from tests.support.servers.processes import runs
from tests.support.servers.programs import Api
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import free_port, wait_for

TRACE_ID = uuid4().hex
TRACEPARENT = f"00-{TRACE_ID}-{uuid4().hex[:16]}-01"
TYPES = ("reverse_string", "call_back")
ASKED = 'taskledger_http_request_seconds_count{method="POST",route="/api/v1/tasks",status="201"}'

pytestmark = pytest.mark.timeout(300)  # five programs start, and are awaited as long as a busy machine needs


class Watched:
    """An installation that tells a collector, writes log files, and offers metrics everywhere."""

    def __init__(self, stack: Stack, collector: Collector, logs: Path, ports: dict[str, int]) -> None:
        self.stack, self.collector, self.logs, self.ports = stack, collector, logs, ports

    def lines(self, process: str) -> list[dict]:
        """What a process has logged, as it was parsed."""
        path = self.logs / f"{process}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def metrics(self, process: str) -> dict[str, float]:
        """The samples that a process offers, by name and labels."""
        if process == "api":
            text = self.stack.http.get(f"{self.stack.api.url}/metrics", timeout=10).text
        else:
            text = requests.get(f"http://127.0.0.1:{self.ports[process]}/metrics", timeout=10).text
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}


@pytest.fixture(scope="module")
def watched(databases, request, tmp_path_factory) -> Iterator[Watched]:
    logs, ports = tmp_path_factory.mktemp("logs"), {"worker": free_port(), "dispatcher": free_port()}
    database_url = databases.create(f"watched_{uuid4().hex[:8]}")
    with ExitStack() as closing:
        closing.callback(databases.drop, database_url)
        collector = closing.enter_context(Collector())
        stack = Stack(
            database_url=database_url,
            broker_url=empty_broker_url(request),
            log_file=str(logs / "{process}.jsonl"),
            log_level="DEBUG",
            metrics_dir=str(tmp_path_factory.mktemp("metrics")),
            worker_metrics_port=str(ports["worker"]),
            dispatcher_metrics_port=str(ports["dispatcher"]),
            otel_exporter_otlp_endpoint=collector.url,
            otel_bsp_schedule_delay="200",
            outbound_allow="127.0.0.1",
        )
        stack.api = Api(stack.environment, processes=2)
        yield Watched(closing.enter_context(stack), collector, logs, ports)


def submit(watched: Watched, type_: str, payload: object, **headers: str) -> str:
    answer = watched.stack.post("/tasks", {"type": type_, "payload": payload}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_one_trace_leads_from_the_request_to_the_attempt_and_its_sql(watched):
    task_id = submit(watched, "reverse_string", "hello", traceparent=TRACEPARENT)
    watched.stack.wait_until("COMPLETED", [task_id])

    def complete() -> dict[str, Span] | None:
        spans = {f"{span.service}: {span.name}": span for span in watched.collector.of_trace(TRACE_ID)}
        names = ["taskledger-api: POST /api/v1/tasks", "taskledger-api: dispatch"]
        names += ["taskledger-worker: run", "taskledger-worker: attempt"]
        return spans if all(name in spans for name in names) and _writes(spans.values()) else None

    spans = wait_for(complete, timeout=20, what="all spans are exported")

    request, dispatch = spans["taskledger-api: POST /api/v1/tasks"], spans["taskledger-api: dispatch"]
    run, attempt = spans["taskledger-worker: run"], spans["taskledger-worker: attempt"]
    assert request.parent_id == TRACEPARENT.split("-")[2]
    assert dispatch.parent_id == request.span_id
    assert run.parent_id == dispatch.span_id
    assert attempt.parent_id == run.span_id
    assert attempt.attributes["taskledger.task_id"] == task_id
    assert {span.parent_id for span in _writes(spans.values())} == {run.span_id}
    assert "hello" not in str(watched.collector.spans), "no payload in a trace"


def _writes(spans) -> list[Span]:
    """The SQL of the worker: the claim and the outcome."""
    return [
        span
        for span in spans
        if span.service == "taskledger-worker" and "UPDATE tasks" in str(span.attributes.get("db.statement"))
    ]


def test_looks_of_the_dispatcher_and_heartbeats_make_no_traces(watched):
    roots = [span for span in watched.collector.spans if not span.parent_id]

    assert {span.name.split()[0] for span in roots} <= {"GET", "POST"}


def test_the_request_id_reaches_the_attempts_log_lines_and_outgoing_calls(watched, httpserver):
    httpserver.expect_request("/callback").respond_with_data("")
    task_id = submit(watched, "call_back", {"url": httpserver.url_for("/callback")}, **{"X-Request-ID": "order-4711"})
    watched.stack.wait_until("COMPLETED", [task_id])

    [(called, _)] = httpserver.log
    said = wait_for(lambda: [each for each in watched.lines("worker") if each.get("request_id") == "order-4711"])

    assert called.headers["X-Request-ID"] == "order-4711"
    assert called.headers["traceparent"].startswith("00-")
    assert {(each["task_id"], each["attempt"], each["type"]) for each in said if each["event"] == "task_log"} == {
        (task_id, 1, "call_back")
    }
    answered = [each for each in watched.lines("api") if each["event"] == "request_answered"]
    assert "order-4711" in {each["request_id"] for each in answered}


def test_metrics_are_right_over_several_processes_of_each_service(watched):
    before = watched.metrics("api")
    ids = [submit(watched, "reverse_string", "x") for _ in range(30)]
    watched.stack.wait_until("COMPLETED", ids)

    [row] = watched.stack.rows("SELECT count(*) AS n FROM tasks WHERE type = 'reverse_string'")

    def counted() -> bool:
        return _submitted(watched.metrics("api")) == row["n"]

    wait_for(counted, timeout=60, what="the dispatcher has measured")
    after, worker, duties = watched.metrics("api"), watched.metrics("worker"), watched.metrics("dispatcher")

    assert after[ASKED] - before.get(ASKED, 0) == 30, "two processes answer"
    done = sum(_ended(worker, type_) for type_ in TYPES)
    assert done == watched.stack.rows("SELECT count(*) AS n FROM tasks WHERE status = 'COMPLETED'")[0]["n"]
    assert duties['taskledger_duty_run_seconds_count{duty="measure"}'] > 0


def _submitted(samples: dict[str, float]) -> float:
    return samples.get('taskledger_tasks_submitted_total{type="reverse_string"}', 0)


def _ended(samples: dict[str, float], type_: str) -> float:
    return samples.get(f'taskledger_task_run_seconds_count{{outcome="completed",type="{type_}"}}', 0)


def test_a_restarted_worker_process_goes_on_counting_where_the_last_one_ended(watched):
    [child, *_] = watched.stack.worker.child_pids()
    count = _ended(watched.metrics("worker"), "reverse_string")
    with_kill = submit(watched, "reverse_string", "y")
    watched.stack.wait_until("COMPLETED", [with_kill])

    os.kill(child, signal.SIGKILL)
    more = [submit(watched, "reverse_string", "z") for _ in range(10)]
    watched.stack.wait_until("COMPLETED", more, timeout=30)

    assert _ended(watched.metrics("worker"), "reverse_string") == count + 11


def test_children_of_a_worker_share_what_was_loaded_before_them(watched):
    children = [each for each in map(psutil.Process, watched.stack.worker.child_pids()) if runs(each)]
    assert children
    for child in children:
        memory = child.memory_full_info()
        assert memory.uss < memory.rss / 2  # what it traces with is its own


def test_a_restarted_api_process_goes_on_counting_where_the_last_one_ended(watched):
    before = watched.metrics("api")[ASKED]
    processes = watched.stack.api.child_pids()
    assert len(processes) == 2

    os.kill(processes[0], signal.SIGKILL)
    wait_for(lambda: set(watched.stack.api.child_pids()) - set(processes), timeout=30, what="gunicorn starts another")
    for _ in range(20):
        submit(watched, "reverse_string", "counted")

    assert watched.metrics("api")[ASKED] == before + 20


def test_every_log_line_of_every_process_is_json_with_a_name_and_a_moment(watched):
    for process in ("api", "worker", "dispatcher"):
        lines = watched.lines(process)
        assert lines, process
        assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


def test_why_and_the_queues_tell_of_a_live_installation(watched):
    watched.stack.post("/queues/tasks/pause", {"reason": "a test"})

    def held() -> str | None:  # the worker stops to take from the queue within three seconds
        task_id = watched.stack.submit("reverse_string", "later")
        return task_id if watched.stack.get(f"/tasks/{task_id}/why").json()["cause"] == "queue_paused" else None

    later = wait_for(held, timeout=15)
    watched.stack.post("/queues/tasks/resume", {})
    watched.stack.wait_until("COMPLETED", [later])

    assert watched.stack.get(f"/tasks/{later}/why").json()["cause"] == "finished"
    [worker] = watched.stack.get("/workers").json()["items"]
    assert (worker["state"], worker["runtime"]["pool"]) == ("alive", "prefork")
    assert watched.stack.get("/queues/scaling", queue="tasks").json()["items"][0]["workers"] == 1
