"""SIGTERM ends every process in time whatever else is broken, and the rows are right afterwards."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil
import pytest

from tests.chaos.conftest import SHORT
from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, attempts, wait_until_running
from tests.chaos.faults import all_frozen
from tests.conftest import unavailable
from tests.support.servers.embedded import Embedded
from tests.support.servers.nats import PrivateNats, find_nats_server
from tests.support.servers.processes import Process, kill_all, runs
from tests.support.servers.programs import Sink, Worker
from tests.support.servers.stack import Stack
from tests.support.servers.valkey import PrivateValkey
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

GRACE_SECONDS = 2  # of SHORT
ENDS_WITHIN = GRACE_SECONDS + 15
RUN_SECONDS = 5.0  # longer than the grace period: it has to be given back


@pytest.fixture(scope="module")
def broker(request) -> Iterator[Process]:
    """A server of this module's own: it is frozen and stopped."""
    if request.param == "rabbitmq":
        yield request.getfixturevalue("rabbitmq")
        return
    program = find_nats_server()
    if request.param == "nats" and program is None:
        unavailable("nats-server is not installed here (on Debian: apt-get install nats-server)")
    with PrivateNats(program) if request.param == "nats" else PrivateValkey() as server:
        yield server


@pytest.fixture(scope="module")
def stack(chaos_databases, broker, tmp_path_factory) -> Iterator[Stack]:
    """API, dispatcher, all sinks, and a worker of four children; started again by each scenario."""
    stack = Stack(
        database_url=chaos_databases.create(f"term_{uuid4().hex[:8]}"),
        broker_url=broker.new_url(),
        csv_dir=str(tmp_path_factory.mktemp("csv")),
        **SHORT,
    )
    stack.worker = Worker(stack.environment, concurrency=4)
    stack.sinks = Sink(stack.environment, "csv", "stats", "webhooks")
    with stack, stack.sinks:
        yield stack


def all_of(stack: Stack) -> list[Process]:
    return [stack.api, stack.worker, stack.dispatcher, stack.sinks]


@contextmanager
def frozen(*servers: Process) -> Iterator[None]:
    with all_frozen(server.pid for server in servers):
        yield


@contextmanager
def absent(server: Process) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start().wait_until_ready()


FAULTS = {
    "in_alarm": lambda broker, postgres: broker.memory_alarm(),
    "frozen": lambda broker, postgres: frozen(broker),
    "absent": lambda broker, postgres: absent(broker),
    "database_frozen": lambda broker, postgres: frozen(postgres),
    "database_absent": lambda broker, postgres: absent(postgres),
    "both_frozen": lambda broker, postgres: frozen(broker, postgres),
}
SCENARIOS = [*(("rabbitmq", fault) for fault in FAULTS), ("valkey", "frozen"), ("nats", "frozen")]


@pytest.mark.parametrize(("broker", "fault"), SCENARIOS, indirect=["broker"], scope="module")
def test_sigterm_ends_every_process_in_time(stack, broker, postgres, ledger, tmp_path, fault):
    for process in all_of(stack):
        if not process.is_running:
            process.start()
    for process in all_of(stack):
        process.wait_until_ready()
    trace = tmp_path / "trace"
    busy = [stack.submit("trace_run", {"path": str(trace), "seconds": RUN_SECONDS}) for _ in range(2)]
    for task_id in busy:
        wait_until_running(stack, task_id, timeout=20)
    ids = [*busy, *(stack.submit("uppercase_text", f"text {number}") for number in range(10))]

    hits_database = "database" in fault or "both" in fault
    with FAULTS[fault](broker, postgres):
        if not hits_database:
            ids += [stack.submit("uppercase_text", f"published never {number}") for number in range(3)]
        time.sleep(1)
        took = ended_within(all_of(stack), ENDS_WITHIN + 10)
        ledger.note(f"{broker.name}, {fault}: " + ", ".join(f"{name} {took[name]:.1f} s" for name in took))
    assert {name for name, seconds in took.items() if seconds > ENDS_WITHIN} == set()

    stack.reconnect()
    for process in all_of(stack):
        process.start()
    with ledger.timed("after the next start, until all are COMPLETED"):
        stack.wait_until("COMPLETED", ids, timeout=90)
    charged = sum(n for attempt, n in attempts(stack, ids).items() if attempt > 1)
    assert charged <= (len(busy) if hits_database else 0)
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)


def ended_within(processes: list[Process], seconds: float) -> dict[str, float]:
    """Ask all of them to end; how long each took, by its name. What has not ended by then is killed."""
    began = time.monotonic()
    for process in processes:
        process.send(process.stop_signal)
    took: dict[str, float] = {}
    while len(took) < len(processes) and time.monotonic() - began < seconds:
        for process in processes:
            if process.name not in took and not process.is_running:
                took[process.name] = time.monotonic() - began
        time.sleep(0.05)
    for process in processes:
        if process.is_running:
            took[process.name] = float("inf")
            kill_all([psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)])
        process.wait()
    return took


@pytest.fixture
def embedded() -> Iterator[Embedded]:
    embedded = Embedded(settings={"SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS)})
    yield embedded
    embedded.end()


def test_sigterm_ends_the_embedded_mode_in_time_with_both_of_its_stores_frozen(embedded, ledger):
    embedded.start().wait_until_ready()
    before = embedded.submit("uppercase_text", "before")
    assert embedded.task(before, wait=10)["status"] == "COMPLETED"
    programs = embedded.programs()

    with all_frozen(embedded.program_pid(name) for name in ("postgres", "valkey")):
        held = embedded.programs()
        embedded.send(signal.SIGTERM)
        with ledger.timed("SIGTERM for the embedded mode with frozen stores") as took:
            embedded.wait(timeout=ENDS_WITHIN + 15)
    wait_for(lambda: not any(map(runs, [*programs, *held])), timeout=10, what="all of its processes are gone")

    assert took[0] < ENDS_WITHIN
    embedded.start().wait_until_ready()
    assert embedded.task(before)["status"] == "COMPLETED"
    assert embedded.task(embedded.submit("uppercase_text", "after"), wait=20)["result"] == "AFTER"
