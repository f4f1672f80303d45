"""Remote work: from a submission to its claim, tasks a second by batches, and what workers cost that only wait.

    python -m benchmarks.remote_work [--tasks 10000] [--json]

Starts PostgreSQL (with fsync), RabbitMQ, API, worker and dispatcher of its own, as the tests do; TEST_DATABASE_URL and
TEST_BROKER_URL name others. Claims are made by threads of this process, over HTTP, as a program of any language would.
"""

import argparse
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import requests

from benchmarks.latency import Spread, installation
from tests.support.servers.programs import Api
from tests.support.servers.stack import Stack

TYPE = "remote_bench"
BATCH = 100
SENDERS = 4
IDLE_WORKERS, IDLE_SECONDS, SETTLE_SECONDS = 10, 30.0, 6.0
PAUSE_SECONDS = 0.05
STREAM_THREADS = 64


class Worker:
    """One connection of a remote worker."""

    def __init__(self, api: Api, key: str, name: str) -> None:
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {key}"
        self._url, self._name = f"{api.url}/api/v1/work", name

    def claim(self, most: int, wait: float) -> list[dict[str, Any]]:
        body = {"types": [TYPE], "worker": self._name, "max": most, "wait": int(wait)}
        answer = self._post("claim", body)
        if wait and answer["retry_after"]:
            time.sleep(answer["retry_after"])  # as many wait as may
        items: list[dict[str, Any]] = answer["items"]
        return items

    def complete(self, items: list[dict[str, Any]]) -> int:
        told = [
            {"task_id": each["task_id"], "lease": each["lease"], "outcome": "complete", "result": 1} for each in items
        ]
        return sum(each["status"] == 200 for each in self._post("outcomes", {"items": told})["items"])

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        answer = self._http.post(f"{self._url}/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return dict(answer.json())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Remote work: latency, throughput, and the cost of waiting")
    parser.add_argument("--tasks", type=int, default=10_000, help="how many are worked off by batches")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with installation() as stack:
        key = declare(stack)
        whole, claimed = latency(stack, key, 200)
        with Api(stack.environment, threads=STREAM_THREADS) as api:
            percent = cost_of_waiting(stack, api, key)
        a_second, milliseconds = throughput(stack, key, options.tasks)
    if options.json:
        print(
            json.dumps(
                {
                    "claim_ms": claimed.__dict__,
                    "tasks_a_second": a_second,
                    "ms_a_task": milliseconds,
                    "idle_percent": percent,
                }
            )
        )
        return
    print(f"from the 201 of a submission to its claim   median {claimed.median} ms, p99 {claimed.p99} ms")
    print(f"from its first byte to its claim            median {whole.median} ms, p99 {whole.p99} ms")
    print(f"tasks a second, by batches of {BATCH}            {a_second:.0f}")
    print(f"processor time of API and PostgreSQL        {milliseconds:.2f} ms a task")
    print(f"{IDLE_WORKERS} waiting workers, API and PostgreSQL together  {percent:.2f} % of a core")


def declare(stack: Stack) -> str:
    """The type, and a key for its workers."""
    assert stack.post("/task-types", {"name": TYPE, "schema": {"type": "integer"}}).status_code == 201
    made = stack.post("/api-keys", {"name": "bench", "scopes": ["work"], "allowed_types": [TYPE]})
    return str(made.json()["key"])


def latency(stack: Stack, key: str, count: int) -> tuple[Spread, Spread]:
    """One task after the other, with a worker that waits for it."""
    claimed: dict[str, float] = {}
    is_over = threading.Event()

    def work() -> None:
        worker = Worker(stack.api, key, "latency")
        while not is_over.is_set():
            items = worker.claim(1, 2)
            now = time.perf_counter()
            claimed.update((each["task_id"], now) for each in items)
            worker.complete(items) if items else None

    thread = threading.Thread(target=work)
    thread.start()
    began, answered = {}, {}
    for number in range(count):
        start = time.perf_counter()
        task_id = stack.submit(TYPE, number)
        began[task_id], answered[task_id] = start, time.perf_counter()
        while task_id not in claimed:
            time.sleep(0.0005)
        time.sleep(PAUSE_SECONDS)
    is_over.set()
    thread.join()
    ids = list(began)[20:]  # the first ones open connections
    return (
        Spread.of([claimed[each] - began[each] for each in ids]),
        Spread.of([max(0.0, claimed[each] - answered[each]) for each in ids]),
    )


def throughput(stack: Stack, key: str, count: int) -> tuple[float, float]:
    """Tasks that wait are claimed and completed by batches: how many a second, and processor time for each."""
    for start in range(0, count, 500):
        numbers = range(start, min(start + 500, count))
        stack.post("/tasks/batch", {"tasks": [{"type": TYPE, "payload": number} for number in numbers]})
    while stack.rows("SELECT count(*) AS n FROM hints")[0]["n"] < count:
        time.sleep(0.1)
    done = [0] * SENDERS
    began, used = time.perf_counter(), _used_by_all(stack, [stack.api.pid])

    def work(place: int) -> None:
        worker = Worker(stack.api, key, f"batches-{place}")
        while items := worker.claim(BATCH, 0):
            done[place] += worker.complete(items)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == count, f"{sum(done)} of {count} were completed"
    seconds = time.perf_counter() - began
    return count / seconds, 1000 * _difference(used, _used_by_all(stack, [stack.api.pid])) / count


def cost_of_waiting(stack: Stack, api: Api, key: str) -> float:
    """Processor time of API and PostgreSQL with workers that wait, less that without them, in percent of a core.

    They wait at a process that has a thread for each of them, as that has to which nginx hands claims.
    """
    pids = [stack.api.pid, api.pid]
    alone = _busy_seconds(stack, pids)
    is_over = threading.Event()

    def wait(place: int) -> None:
        worker = Worker(api, key, f"idle-{place}")
        while not is_over.is_set():
            worker.claim(1, 30)

    threads = [threading.Thread(target=wait, args=(place,), daemon=True) for place in range(IDLE_WORKERS)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLE_SECONDS)  # connections are opened
    together = _busy_seconds(stack, pids)
    is_over.set()
    for thread in threads:
        thread.join()  # what it waits for is not to be taken from the next measurement
    return 100 * (together - alone) / IDLE_SECONDS


def _busy_seconds(stack: Stack, pids: Sequence[int]) -> float:
    before = _used_by_all(stack, pids)
    time.sleep(IDLE_SECONDS)
    return _difference(before, _used_by_all(stack, pids))


def _used_by_all(stack: Stack, pids: Sequence[int]) -> dict[int, float]:
    return {process.pid: _used(process) for process in _processes(stack, pids)}


def _difference(before: dict[int, float], after: dict[int, float]) -> float:
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _processes(stack: Stack, pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        api = psutil.Process(pid)
        yield from (api, *api.children(recursive=True))
    backends = [row["pid"] for row in stack.rows("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]
    for pid in backends:
        try:
            yield psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    main()
