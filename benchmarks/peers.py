"""The systems that Taskledger is compared with, and the list of all.

Every one runs two worker processes (two event loops of one process for Node.js), as its own documentation recommends
for throughput, and is warm when it is measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import psycopg2
import requests

from benchmarks import load
from benchmarks.systems import System
from benchmarks.taskledger import BULK, CONNECTIONS, Ours, OursInBulk, OursThroughAsyncClient, OursThroughClient
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port, wait_for

PEERS = Path(__file__).parent / "peers"
HOME = ROOT / "var" / "bench"


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
    OursThroughClient,
    OursThroughAsyncClient,
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
