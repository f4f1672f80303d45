"""The Python client, end to end: submissions one at a time through it, beside plain requests of the same.

    python -m benchmarks.client [--seconds 5] [--rounds 3] [--threads 32] [--coroutines 1000] [--json]

Starts PostgreSQL (with fsync) and one API process without broker, and submits tasks that are due in 2100. The ways take
turns, a round each; the figures are medians of the rounds, in submissions a second. `key` is a plain request with an
Idempotency-Key, which is what the client sends; without one, a request that breaks may submit twice or not at all.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from uuid import uuid4

import httpx2

from taskledger_sdk import AsyncClient, Client
from tests.support.people import make_admin
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment

DUE = datetime(2100, 1, 1, tzinfo=UTC)
TASK = {"type": "reverse_string", "payload": "hello", "scheduled_at": DUE.isoformat()}
WARM_UP = 20
Way = Callable[[], float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--coroutines", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with ExitStack() as closing:
        url = Databases(closing.enter_context(PrivatePostgres(durable=True)).url()).create("main")
        os.environ |= {"DATABASE_URL": url, "BROKER_URL": NO_BROKER}
        key = make_admin(url).key
        environment = service_environment(database_url=url, broker_url=NO_BROKER, log_level="WARNING")
        api = closing.enter_context(Api(environment, threads=options.threads))
        found: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for name, measure in ways(api, key, options).items():
                found.setdefault(name, []).append(measure())
    medians = {name: round(statistics.median(each)) for name, each in found.items()}
    if options.json:
        print(json.dumps(medians, indent=2))
    else:
        for name, rate in medians.items():
            print(f"{name:40} {rate:6,} a second")
    return 0


def ways(api: Api, key: str, options: argparse.Namespace) -> dict[str, Way]:
    """What is measured, by name."""
    seconds, threads = options.seconds, options.threads
    return {
        "one caller, http.client": lambda: one_by_one(plain(api, key, has_key=False), seconds),
        "one caller, httpx2": lambda: one_by_one(with_httpx2(api, key, has_key=False), seconds),
        "one caller, httpx2 with key": lambda: one_by_one(with_httpx2(api, key, has_key=True), seconds),
        "one caller, client": lambda: through_client(api, key, 1, seconds),
        f"{threads} threads, httpx2": lambda: in_threads(with_httpx2(api, key, has_key=False), threads, seconds),
        f"{threads} threads, httpx2 with key": lambda: in_threads(
            with_httpx2(api, key, has_key=True), threads, seconds
        ),
        f"{threads} threads, client": lambda: through_client(api, key, threads, seconds),
        f"{options.coroutines} coroutines, client": lambda: in_coroutines(api, key, options.coroutines, seconds),
    }


def plain(api: Api, key: str, *, has_key: bool) -> Callable[[], None]:
    """A submission by http.client."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port)

    def submit() -> None:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if has_key:
            headers["Idempotency-Key"] = uuid4().hex
        connection.request("POST", "/api/v1/tasks", json.dumps(TASK), headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 201, text
        json.loads(text)

    return submit


def with_httpx2(api: Api, key: str, *, has_key: bool) -> Callable[[], None]:
    """A submission by httpx2."""
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    client = httpx2.Client(headers={"Authorization": f"Bearer {key}"}, trust_env=False, limits=limits, timeout=30)
    url = f"{api.url}/api/v1/tasks"

    def submit() -> None:
        headers = {"Idempotency-Key": uuid4().hex} if has_key else {}
        answer = client.post(url, json=TASK, headers=headers)
        assert answer.status_code == 201, answer.text
        answer.json()

    return submit


def one_by_one(submit: Callable[[], object], seconds: float) -> float:
    """Submissions a second of one caller."""
    for _ in range(WARM_UP):
        submit()
    return in_threads(submit, 1, seconds)


def in_threads(submit: Callable[[], object], threads: int, seconds: float) -> float:
    """Submissions a second of threads, each of which waits for its answer before it submits again."""
    until = time.perf_counter() + seconds

    def caller(_: int) -> int:
        for count in itertools.count():
            if time.perf_counter() >= until:
                return count
            submit()
        raise AssertionError

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        total = sum(pool.map(caller, range(threads)))
        return total / (time.perf_counter() - began)


def through_client(api: Api, key: str, threads: int, seconds: float) -> float:
    """The same through one client."""
    with Client(api.url, key) as client:

        def submit() -> object:
            return client.submit("reverse_string", "hello", scheduled_at=DUE)

        return one_by_one(submit, seconds) if threads == 1 else in_threads(submit, threads, seconds)


def in_coroutines(api: Api, key: str, count: int, seconds: float) -> float:
    """The same through one AsyncClient."""

    async def all_of_them() -> float:
        async with AsyncClient(api.url, key) as client:
            until = time.perf_counter() + seconds

            async def caller() -> int:
                for done in itertools.count():
                    if time.perf_counter() >= until:
                        return done
                    await client.submit("reverse_string", "hello", scheduled_at=DUE)
                raise AssertionError

            began = time.perf_counter()
            total = sum(await asyncio.gather(*(caller() for _ in range(count))))
            return total / (time.perf_counter() - began)

    return asyncio.run(all_of_them())


if __name__ == "__main__":
    sys.exit(main())
