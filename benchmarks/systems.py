"""The systems that are compared: how each is started, given work, and seen to have done it.

Every one runs two worker processes (two event loops of one process for Node.js), as its own documentation recommends
for throughput, and is warm when it is measured.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil
import psycopg2
import requests

from benchmarks import load
from benchmarks.servers import Servers
from tests.people import make_admin
from tests.services.databases import ROOT
from tests.services.processes import Process
from tests.services.programs import Api, Dispatcher, Worker, service_environment
from tests.services.rows import fetched
from tests.services.waiting import free_port, wait_for

PEERS = Path(__file__).parent / "peers"
HOME = ROOT / "var" / "bench"
CONNECTIONS = 32
BULK = 500
PATIENCE_SECONDS = 120.0
LOOK_SECONDS, SELDOM_SECONDS = 0.02, 0.2
MANY = 5_000  # waiting tasks are counted up to here
NEAR = 0.8  # of the tasks are done: from here on it looks often


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a process."""

    resident: float
    """What it uses, shared with others or not (RSS)."""
    own: float
    """What nobody else uses (USS): what one more of it costs."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measurement: moments (time.time()) of the first submission, the last one, and the last result."""

    began: float
    submitted: float
    ended: float


class System(ABC):
    """One system, set up once for each of its measurements."""

    name: ClassVar[str]
    tasks: ClassVar[int]
    """How many one measurement runs."""
    keeps: ClassVar[str]
    """What is left of a task, and whether it survives a power cut."""
    bulk: ClassVar[int] = 0

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.processes: list[Process] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.directory = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            self.start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    def run_process(self, process: Process) -> Process:
        """Start it; it ends with the measurement, and its processor time counts."""
        self._closing.enter_context(process)
        self.processes.append(process)
        return process

    @abstractmethod
    def start(self) -> None:
        """Start everything and wait until it is ready."""

    @abstractmethod
    def submit(self, count: int) -> tuple[float, float]:
        """Submit so many; returns the moments of the first and of the last acceptance."""

    @abstractmethod
    def submit_slowly(self, count: int, pace: float) -> None:
        """Submit so many, one every `pace` seconds."""

    @abstractmethod
    def done(self) -> int:
        """How many are done, since it was started."""

    @abstractmethod
    def start_latencies(self) -> list[float]:
        """Seconds from the submission to the handler, of those that were submitted slowly."""

    worker: Process
    """Runs the handlers, itself or in its children."""

    def idle_child(self) -> Memory:
        """Memory of a process that runs handlers: the mean of the worker's children, or its own."""
        pids = self.worker.child_pids() or [self.worker.pid]
        found = [psutil.Process(pid).memory_full_info() for pid in pids]
        return Memory(
            resident=statistics.fmean(each.rss for each in found), own=statistics.fmean(each.uss for each in found)
        )

    def measure(self, count: int) -> Run:
        """Submit and wait for the last result."""
        before = self.done()
        began, submitted = self.submit(count)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while (done := self.done()) < before + count:
            assert time.monotonic() < give_up, f"{self.name}: {done - before} of {count} after {PATIENCE_SECONDS} s"
            is_near = done - before > NEAR * count
            time.sleep(LOOK_SECONDS if is_near else SELDOM_SECONDS)  # looking costs what is looked at time, too
        return Run(began=began, submitted=submitted, ended=time.time())


class Ours(System):
    """Taskledger over HTTP, with RabbitMQ."""

    name = "Taskledger, single POSTs"
    keeps = "row, result and history, durable"
    tasks = 3000
    options: ClassVar[tuple[str, ...]] = ()

    def start(self) -> None:
        broker = self.servers.rabbitmq.url(self.servers.rabbitmq.take_vhost())
        database = self.servers.migrated_database()
        environment = service_environment(database_url=database, broker_url=broker, log_level="WARNING")
        self.key = make_admin(database).key
        self.api = Api(environment, processes=2, threads=16)
        self.worker = Worker(environment, "--loglevel", "WARNING", *self.options)
        self.worker.is_ready = self._worker_is_alive  # type: ignore[method-assign]
        self._connection = psycopg2.connect(database)
        self._connection.autocommit = True
        self._closing.callback(self._connection.close)
        starting = (self.worker, self.api, Dispatcher(environment))
        for process in starting:
            process.start()
        for process in starting:
            self.run_process(process)

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """What a statement on its database answers."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return fetched(cursor)

    def _worker_is_alive(self) -> bool:
        return bool(self.rows("SELECT count(*) FROM workers WHERE last_seen_at > now() - interval '3 s'")[0][0])

    def submit(self, count: int) -> tuple[float, float]:
        sent = load.send(self._requests(count), port=self.api.port, connections=CONNECTIONS)
        self._sent = getattr(self, "_sent", 0) + count
        return sent.began, sent.ended

    def _requests(self, count: int) -> list[bytes]:
        task = {"type": "reverse_string", "payload": "hello world"}
        return [load.request("/api/v1/tasks", task, port=self.api.port, Authorization=f"Bearer {self.key}")] * count

    def submit_slowly(self, count: int, pace: float) -> None:
        task = {"type": "read_clock", "payload": "hello world"}
        headers = {"Authorization": f"Bearer {self.key}"}
        self._began = load.send_slowly("/api/v1/tasks", task, port=self.api.port, count=count, pace=pace, **headers)
        self._sent = getattr(self, "_sent", 0) + count

    def done(self) -> int:
        # By the partial index of what is unfinished, and not of all: counting disturbs what is measured.
        waiting = f"SELECT count(*) FROM (SELECT FROM tasks WHERE due_at IS NOT NULL LIMIT {MANY}) AS waiting"
        return getattr(self, "_sent", 0) - int(self.rows(waiting)[0][0])

    def start_latencies(self) -> list[float]:
        rows = self.rows("SELECT id::text, result::float8 FROM tasks WHERE type = 'read_clock' AND result IS NOT NULL")
        return [entered - self._began[id_] for id_, entered in rows if id_ in self._began]


class OursInBulk(Ours):
    """The same, 500 in a request."""

    name = f"Taskledger, {BULK} a POST"
    tasks = 20_000
    bulk = BULK

    def submit(self, count: int) -> tuple[float, float]:
        batch = {"tasks": [{"type": "reverse_string", "payload": "hello world"}] * BULK}
        headers = {"Authorization": f"Bearer {self.key}", "Prefer": "return=minimal"}
        one = load.request("/api/v1/tasks/batch", batch, port=self.api.port, **headers)
        sent = load.send([one] * (count // BULK), port=self.api.port, connections=4)
        self._sent = getattr(self, "_sent", 0) + count
        return sent.began, sent.ended


class Peer(System):
    """A system of somebody else's, in a virtual environment of its own."""

    def environment(self) -> dict[str, str]:
        """What its programs are told."""
        return {
            "PATH": f"{HOME}/venv/bin:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/tmp"),
            "PYTHONPATH": str(PEERS),
            "PYTHONUNBUFFERED": "1",
            "BENCH_DIR": self.directory,
            "BENCH_NODE": str(HOME / "node"),
        }

    def program(self, name: str, *command: str, environment: Mapping[str, str]) -> Process:
        """One of its processes, started."""
        return self.run_process(Process(command, name=name, environment=environment, directory=PEERS))

    def done(self) -> int:
        return sum(path.stat().st_size for path in Path(self.directory).glob("ran.*"))

    def start_latencies(self) -> list[float]:
        files = Path(self.directory).glob("started.*")
        return [float(line) for path in files for line in path.read_text().splitlines()]


class Produced(Peer):
    """A peer whose tasks are submitted by a program of its own language, over standard input and output."""

    def begin_producer(self, *command: str, environment: Mapping[str, str]) -> None:
        """Start it and wait until it has connected."""
        self.producer = subprocess.Popen(
            command, cwd=PEERS, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._closing.callback(self._end_producer)
        self._answer()

    def _end_producer(self) -> None:
        self.producer.kill()
        self.producer.wait()

    def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self.producer.stdin is not None
        self.producer.stdin.write(json.dumps(asked) + "\n")
        self.producer.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.producer.stdout is not None
        line = self.producer.stdout.readline()
        assert line, f"{self.name}: its producer has ended"
        return dict(json.loads(line))

    def submit(self, count: int) -> tuple[float, float]:
        answer = self._ask(n=count, bulk=self.bulk)
        return answer["began"], answer["ended"]

    def submit_slowly(self, count: int, pace: float) -> None:
        self._ask(n=count, pace=pace)


class BareCelery(Produced):
    """Celery alone: no HTTP, no row, no result."""

    name = "Celery, no confirms"
    keeps = "nothing"
    tasks = 4000
    confirms = False
    has_results = False

    def start(self) -> None:
        broker = self.servers.rabbitmq.url(self.servers.rabbitmq.take_vhost())
        environment = self.environment() | {"BENCH_BROKER": broker}
        if self.confirms:
            environment |= {"BENCH_CONFIRM": "1", "BENCH_THREADS": "8"}
        if self.has_results:
            self.database = self.servers.empty_database()
            environment["BENCH_BACKEND"] = "db+" + self.database.replace("postgresql://", "postgresql+psycopg2://")
        command = f"{HOME}/venv/bin/celery -A celery_tasks worker -c 2 -l WARNING --without-mingle --without-gossip"
        self.worker = self.program("celery", *command.split(), environment=environment)
        self.begin_producer(f"{HOME}/venv/bin/python", "celery_tasks.py", environment=environment)
        wait_for(lambda: len(self.worker.child_pids()) >= 2, timeout=30)


class CeleryConfirmed(BareCelery):
    """With publisher confirms: what ours has, too."""

    name = "Celery, confirms"
    keeps = "nothing; messages durable"
    confirms = True
    tasks = 3000


class CeleryWithResults(BareCelery):
    """With its database result backend."""

    name = "Celery, database results"
    keeps = "result, durable"
    has_results = True
    tasks = 1500

    def done(self) -> int:
        connection = psycopg2.connect(self.database)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'")
                return int(cursor.fetchone()[0])
        except psycopg2.errors.UndefinedTable:
            return 0
        finally:
            connection.close()


class Naive(Peer):
    """Flask, SQLAlchemy, Celery, as most begin."""

    name = "naive Flask + Celery + SQLAlchemy"
    keeps = "row and result, durable"
    tasks = 1000

    def start(self) -> None:
        broker = self.servers.rabbitmq.url(self.servers.rabbitmq.take_vhost())
        self.database = self.servers.empty_database()
        driver_url = self.database.replace("postgresql://", "postgresql+psycopg2://")
        environment = self.environment() | {"BENCH_BROKER": broker, "BENCH_DATABASE": driver_url}
        subprocess.run([f"{HOME}/venv/bin/python", "naive.py"], cwd=PEERS, env=environment, check=True)
        self.port = free_port()
        gunicorn = f"{HOME}/venv/bin/gunicorn -k gthread -w 2 --threads 16 --no-control-socket"
        self.program(
            "naive-api", *gunicorn.split(), f"-b127.0.0.1:{self.port}", "naive:create_app()", environment=environment
        )
        celery = f"{HOME}/venv/bin/celery -A naive worker -c 2 -l WARNING --without-mingle --without-gossip"
        self.worker = self.program("naive-worker", *celery.split(), environment=environment)
        self._connection = psycopg2.connect(self.database)
        self._connection.autocommit = True
        self._closing.callback(self._connection.close)
        wait_for(self._answers, timeout=30)
        wait_for(lambda: len(self.worker.child_pids()) >= 2, timeout=30)

    def _answers(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/", timeout=1).status_code == 404
        except requests.RequestException:
            return False

    def submit(self, count: int) -> tuple[float, float]:
        one = load.request("/tasks", {"type": "reverse", "payload": "hello world"}, port=self.port)
        sent = load.send([one] * count, port=self.port, connections=CONNECTIONS)
        return sent.began, sent.ended

    def submit_slowly(self, count: int, pace: float) -> None:
        body = {"type": "reverse", "payload": "hello world"}
        self._began = load.send_slowly("/tasks", body, port=self.port, count=count, pace=pace)

    def done(self) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM naive_tasks WHERE status = 'COMPLETED'")
            return int(cursor.fetchone()[0])

    def start_latencies(self) -> list[float]:
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT id, started FROM naive_tasks")
            return [entered - self._began[str(id_)] for id_, entered in cursor.fetchall() if str(id_) in self._began]


class Dramatiq(Produced):
    """Dramatiq on RabbitMQ."""

    name = "Dramatiq"
    keeps = "nothing"
    tasks = 4000

    def start(self) -> None:
        broker = self.servers.rabbitmq.url(self.servers.rabbitmq.take_vhost())
        environment = self.environment() | {"BENCH_BROKER": broker}
        command = f"{HOME}/venv/bin/dramatiq dramatiq_tasks -p 2 -t 8"
        self.worker = self.program("dramatiq", *command.split(), environment=environment)
        self.begin_producer(f"{HOME}/venv/bin/python", "dramatiq_tasks.py", environment=environment)


class Procrastinate(Produced):
    """Procrastinate: two workers of concurrency 10."""

    name = "procrastinate, single"
    keeps = "row, durable"
    tasks = 1500

    def start(self) -> None:
        self.database = self.servers.empty_database()
        environment = self.environment() | {"BENCH_DATABASE": self.database}
        python = f"{HOME}/venv/bin/python"
        subprocess.run([python, "procrastinate_producer.py", "schema"], cwd=PEERS, env=environment, check=True)
        worker = f"{HOME}/venv/bin/procrastinate --app=procrastinate_tasks.app worker -q bench -c 10"
        for _ in range(2):
            self.worker = self.program("procrastinate", *worker.split(), environment=environment)
        self.begin_producer(python, "procrastinate_producer.py", environment=environment)

    def done(self) -> int:
        connection = psycopg2.connect(self.database)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'")
            done = int(cursor.fetchone()[0])
        connection.close()
        return done


class ProcrastinateInBulk(Procrastinate):
    """The same, 500 at a time."""

    name = f"procrastinate, {BULK} at a time"
    bulk = BULK


class Rq(Produced):
    """RQ, two simple workers (no fork for each job)."""

    name = "RQ"
    keeps = "result, up to 1 s may be lost"
    tasks = 1500

    def start(self) -> None:
        self.servers.valkey.client().flushall()
        environment = self.environment() | {"BENCH_REDIS": self.servers.valkey.url}
        command = f"{HOME}/venv/bin/rq worker --quiet -w rq.worker.SimpleWorker -u {self.servers.valkey.url} default"
        for _ in range(2):
            self.worker = self.program("rq", *command.split(), environment=environment)
        self.begin_producer(f"{HOME}/venv/bin/python", "rq_tasks.py", environment=environment)

    def done(self) -> int:
        return int(self.servers.valkey.client().zcard("rq:finished:default"))


class Node(Produced):
    """A peer on Node.js."""

    peer: ClassVar[str]
    workers = 2

    def start(self) -> None:
        self.servers.valkey.client().flushall()
        self.database = self.servers.empty_database()
        environment = self.environment() | {"BENCH_REDIS": self.servers.valkey.url, "BENCH_DATABASE": self.database}
        command = ("node", str(PEERS / "node_peers.mjs"), self.peer)
        self.begin_producer(*command, "produce", environment=environment)  # it makes the tables, too
        for _ in range(self.workers):
            self.worker = self.program(self.peer, *command, "worker", environment=environment)


class BullMq(Node):
    """BullMQ on Valkey."""

    name, peer = "BullMQ, single", "bullmq"
    keeps = "result, up to 1 s may be lost"
    tasks = 4000

    def done(self) -> int:
        return int(self.servers.valkey.client().zcard("bull:bench:completed"))


class BullMqInBulk(BullMq):
    """The same, 500 at a time."""

    name = f"BullMQ, {BULK} at a time"
    bulk = BULK
    tasks = 10_000


class Graphile(Node):
    """graphile-worker with a local queue and batched completion."""

    name, peer = "graphile-worker, single", "graphile"
    keeps = "nothing: the row is deleted"
    tasks = 3000


class GraphileInBulk(Graphile):
    """The same, 500 at a time."""

    name = f"graphile-worker, {BULK} at a time"
    bulk = BULK
    tasks = 20_000


class PgBossInBulk(Node):
    """pg-boss, which polls."""

    name, peer = f"pg-boss, {BULK} at a time", "pgboss"
    keeps = "row, durable"
    bulk = BULK
    tasks = 10_000


ALL: tuple[type[System], ...] = (
    Ours,
    OursInBulk,
    Naive,
    BareCelery,
    CeleryConfirmed,
    CeleryWithResults,
    Dramatiq,
    Procrastinate,
    ProcrastinateInBulk,
    Rq,
    BullMq,
    BullMqInBulk,
    Graphile,
    GraphileInBulk,
    PgBossInBulk,
)


def install() -> None:
    """Install the peers into var/bench, once for each change of what is asked for. Needs npm for those on Node.js."""
    venv, node = HOME / "venv", HOME / "node"
    wanted = (PEERS / "requirements.txt").read_text() + (PEERS / "package.json").read_text()
    stamp = HOME / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    node.mkdir(parents=True, exist_ok=True)
    print(f"Installing the peers into {HOME} (once, about a minute) ...")
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", PEERS / "requirements.txt"], check=True)
    (node / "package.json").write_text((PEERS / "package.json").read_text())
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=node, check=True)
    stamp.write_text(wanted)
