"""What it costs that a submission may be repeated: plain, with an id of its caller's, with an Idempotency-Key.

    python -m benchmarks.chosen_ids [--seconds 0.5] [--rounds 40] [--json]

Starts PostgreSQL (with fsync) and one API process without broker, and submits tasks that are due in 2100, by one caller
one after the other, or in batches of 200. The ways take turns in short slices, so that what else the machine does
concerns all of them. Figures are milliseconds a request: of the caller's time, and of processor time of the API and
PostgreSQL together, which a busy machine changes less. The ratio of times is the median of those of the rounds.
"""

import argparse
import http.client
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import psutil

from taskledger_sdk.client import new_id
from tests.support.people import make_admin
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment

TASK = {"type": "reverse_string", "payload": "hello", "scheduled_at": "2100-01-01T00:00:00Z"}
BATCH = 200
WAYS = ("plain", "id", "key")
Send = Callable[[str, bytes, dict[str, str]], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with ExitStack() as closing:
        postgres = closing.enter_context(PrivatePostgres(durable=True))
        url = Databases(postgres.url()).create("main")
        os.environ |= {"DATABASE_URL": url, "BROKER_URL": NO_BROKER}
        key = make_admin(url).key
        environment = service_environment(database_url=url, broker_url=NO_BROKER, log_level="WARNING")
        api = closing.enter_context(Api(environment, threads=4))
        found = measured(sender(api, key), options.rounds, options.seconds)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for name, figures in found.items():
            print(f"{name:24} " + "  ".join(f"{what} {value:7.3f}" for what, value in figures.items()))
    return 0


def measured(send: Send, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds of each way, alone and in batches, and their ratios to the plain one."""
    slices: dict[tuple[bool, str], list[tuple[float, float]]] = {}
    for number, in_batch in itertools.product(range(rounds + 1), (False, True)):
        for way in WAYS[number % 3 :] + WAYS[: number % 3]:
            cost = one_slice(send, way, in_batch, seconds)
            if number:  # the first round warms up
                slices.setdefault((in_batch, way), []).append(cost)
    found: dict[str, dict[str, float]] = {}
    for (in_batch, way), costs in slices.items():
        plain = slices[in_batch, "plain"]
        processor, of_plain = (statistics.fmean(each[1] for each in some) for some in (costs, plain))
        figures = {
            "time": statistics.median(each[0] for each in costs),
            "time ratio": statistics.median(each[0] / base[0] for each, base in zip(costs, plain, strict=True)),
            "processor": processor,
            "processor ratio": processor / of_plain,
        }
        found[f"{f'batch of {BATCH}' if in_batch else 'alone'}, {way}"] = figures
    return found


def one_slice(send: Send, way: str, in_batch: bool, seconds: float) -> tuple[float, float]:
    """Milliseconds a request: of the caller's time, and of processor time of what serves it."""
    requests = batches(way) if in_batch else singles(way)
    passed, processor, count = 0.0, serving_seconds(), 0
    while passed < seconds:
        path, body, headers = next(requests)  # to write it is the caller's own work
        began = time.perf_counter()
        send(path, body, headers)
        passed += time.perf_counter() - began
        count += 1
    return passed / count * 1_000, (serving_seconds() - processor) / count * 1_000


def singles(way: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Requests of one submission each."""
    while True:
        body = TASK | {"id": str(new_id())} if way == "id" else TASK
        yield "/tasks", json.dumps(body).encode(), {"Idempotency-Key": uuid4().hex} if way == "key" else {}


def batches(way: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Requests of 200 submissions each, as the clients send them."""
    more: dict[str, Callable[[], dict[str, Any]]] = {
        "plain": dict,
        "id": lambda: {"id": str(new_id())},
        "key": lambda: {"idempotency_key": str(new_id())},
    }
    while True:
        lines = "\n".join(json.dumps(TASK | more[way]()) for _ in range(BATCH))
        yield "/tasks/batch", lines.encode(), {"Content-Type": "application/x-ndjson"}


def sender(api: Api, key: str) -> Send:
    """Sends a request over one connection, and reads its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port)

    def send(path: str, body: bytes, headers: dict[str, str]) -> None:
        said = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
        connection.request("POST", f"/api/v1{path}", body, said)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), text

    return send


def serving_seconds() -> float:
    """Processor time of all processes that this one has started, and theirs."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


if __name__ == "__main__":
    sys.exit(main())
