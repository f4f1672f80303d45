"""Slow clients and everybody else: what health and submissions notice of forty that hold connections.

    python -m benchmarks.slow_clients [--seconds 15] [--threads 32] [--upload] [--json]

Starts PostgreSQL (with fsync) and one API process. For each kind of slow client it holds the crowd for so many seconds,
and asks for /health/live and submits a task as fast as one client can meanwhile. With --upload somebody with 50 kB/s
uploads 10 MB beside a crowd of slow uploads, which takes 200 seconds.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import requests

from tests.support.people import Person, make_admin
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment
from tests.support.servers.slow_clients import HALF_HEAD, HALF_LOG_IN, SlowClients, percentile, upload_end, upload_head

TASK = {"type": "reverse_string", "payload": "hello", "scheduled_at": "2100-01-01T00:00:00Z"}
UPLOAD_BYTES, UPLOAD_RATE = 10_000_000, 50_000
HEALTH_MS, SUBMISSION_MS = 200, 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON; 1 when a crowd was noticed more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--upload", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with ExitStack() as closing:
        url = Databases(closing.enter_context(PrivatePostgres(durable=True)).url()).create("main")
        os.environ |= {"DATABASE_URL": url, "BROKER_URL": NO_BROKER}
        person = make_admin(url)
        folder = closing.enter_context(tempfile.TemporaryDirectory())
        environment = service_environment(
            database_url=url, broker_url=NO_BROKER, artifacts_url=f"file://{folder}", log_level="WARNING"
        )
        api = closing.enter_context(Api(environment, threads=options.threads))
        found = {name: beside(api, person, begun, options.seconds) for name, begun in crowds(person).items()}
        if options.upload:
            found["upload of 10 MB at 50 kB/s"] = upload(api, person)
    show(found, as_json=options.json)
    return 0 if all(is_well(each) for each in found.values()) else 1


def crowds(person: Person) -> dict[str, list[bytes]]:
    """What each client of a crowd has sent."""
    head = upload_head(person.headers, size=UPLOAD_BYTES)
    return {
        "nobody": [],
        "40 half heads": [HALF_HEAD] * 40,
        "40 half bodies": [HALF_LOG_IN] * 40,
        "34 slow uploads": [head] * 34,
        "34 uploads that become slow": [head + b"x" * 200_000] * 34,
    }


def beside(api: Api, person: Person, begun: list[bytes], seconds: float) -> dict[str, float]:
    """What one client measures beside a crowd, which is renewed as the server lets it go."""
    health: list[float] = []
    submissions: list[float] = []
    until = time.monotonic() + seconds
    with requests.Session() as http:
        http.headers.update(person.headers)
        while time.monotonic() < until:
            with SlowClients(api.port, begun, trickle=b"x", every=5):
                renewed = min(time.monotonic() + 5, until)
                while time.monotonic() < renewed:
                    health.append(timed(lambda: requests.get(f"{api.url}/health/live", timeout=30)))
                    submissions.append(timed(lambda: http.post(f"{api.url}/api/v1/tasks", json=TASK, timeout=30)))
    return {
        "asked": len(health),
        "health_p99_ms": round(1000 * percentile(health, 0.99), 1),
        "health_max_ms": round(1000 * max(health), 1),
        "submission_p99_ms": round(1000 * percentile(submissions, 0.99), 1),
        "submission_max_ms": round(1000 * max(submissions), 1),
    }


def timed(ask: Callable[[], requests.Response]) -> float:
    """Seconds that a request took, which must succeed."""
    began = time.perf_counter()
    answer = ask()
    took = time.perf_counter() - began
    assert answer.ok, answer.text
    return took


def upload(api: Api, person: Person) -> dict[str, float]:
    """Somebody on the way uploads a file beside 34 uploads of a byte now and then."""
    stopping = threading.Event()
    head = upload_head(person.headers, size=UPLOAD_BYTES)

    def crowd() -> None:
        while not stopping.is_set():
            with SlowClients(api.port, [head] * 34, trickle=b"x", every=5):
                stopping.wait(5)

    thread = threading.Thread(target=crowd)
    thread.start()
    began = time.monotonic()
    try:
        with SlowClients(api.port, [head]) as clients:
            for number in range(UPLOAD_BYTES // UPLOAD_RATE * 2):
                clients.sockets[0].sendall(b"y" * (UPLOAD_RATE // 2))
                time.sleep(max(0.0, began + (number + 1) / 2 - time.monotonic()))
            clients.sockets[0].sendall(upload_end())
            answer = clients.sockets[0].recv(65_536)
    finally:
        stopping.set()
        thread.join()
    return {"status": int(answer.split()[1]), "seconds": round(time.monotonic() - began, 1)}


def is_well(found: dict[str, float]) -> bool:
    """Whether others noticed as little as they may."""
    if "status" in found:
        return found["status"] == 201
    return found["health_p99_ms"] < HEALTH_MS and found["submission_p99_ms"] < SUBMISSION_MS


def show(found: dict[str, dict[str, float]], *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, values in found.items():
        print(f"{name:32}", "  ".join(f"{key} {value:g}" for key, value in values.items()))


if __name__ == "__main__":
    sys.exit(main())
