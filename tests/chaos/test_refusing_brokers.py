"""A broker that refuses: nothing grows for as long as it does, no task is lost, and work goes on seconds after."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from uuid import uuid4

import psutil
import pytest

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, attempts
from tests.chaos.refusals import (
    FullNats,
    FullValkey,
    NatsWithoutJetStream,
    ReadOnlyValkey,
    RefusedUser,
    Refusing,
    nats,
    valkey,
)
from tests.conftest import unavailable
from tests.support.servers.processes import Process
from tests.support.servers.programs import Sink
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

SETTLING_SECONDS = 6.0
"""How long a process may take to drop what it had, and to come to rest in trying again."""
REFUSED_SECONDS = 24.0
FLAPS, FLAP_SECONDS = 12, 1.0
SLACK = {"descriptors": 6, "threads": 2, "connections": 4}
"""What comes and goes by itself: a try that is under way, a pool that was opened on demand."""
RECOVERY_SECONDS = 20.0

KINDS: dict[str, Callable[[], AbstractContextManager[Refusing | None]]] = {
    "Valkey that is read-only": partial(valkey, ReadOnlyValkey),
    "Valkey that is full": partial(valkey, FullValkey),
    "NATS that is full": partial(nats, FullNats),
    "NATS without JetStream": partial(nats, NatsWithoutJetStream),
}
USERS = ("virtual host", "permission", "password")
Counts = dict[str, dict[str, int]]


@pytest.fixture(params=[*KINDS, *(f"RabbitMQ without {what}" for what in USERS)])
def broker(request: pytest.FixtureRequest) -> Iterator[Refusing]:
    """A server that this test has for itself; RabbitMQ's is shared, and its user the test's own."""
    what = request.param.removeprefix("RabbitMQ without ")
    if what in USERS:
        yield RefusedUser(request.getfixturevalue("rabbitmq"), what)
        return
    with KINDS[request.param]() as made:
        if made is None:
            unavailable("NATS: no nats-server is installed here (on Debian: apt-get install nats-server)")
        yield made


@pytest.fixture
def stack(broker: Refusing, chaos_databases) -> Iterator[Stack]:
    """An installation on it, all well."""
    url = chaos_databases.create(f"refused_{uuid4().hex[:8]}")
    with Stack(database_url=url, broker_url=broker.url, lease_seconds="6") as stack:
        yield stack


@pytest.fixture
def processes(stack: Stack) -> Iterator[Mapping[str, Process]]:
    """All that speak to the broker."""
    with Sink(stack.environment, "stats") as sink:
        yield {"worker": stack.worker, "dispatcher": stack.dispatcher, "api": stack.api, "sink": sink}


def counts(processes: Mapping[str, Process]) -> Counts:
    """What each process holds; a gunicorn's workers with it."""
    return {name: _counts(process) for name, process in processes.items()}


def _counts(process: Process) -> dict[str, int]:
    root = psutil.Process(process.pid)
    all_of_it = [root, *(root.children(recursive=True) if process.name == "api" else ())]
    return {
        "descriptors": sum(each.num_fds() for each in all_of_it),
        "threads": sum(each.num_threads() for each in all_of_it),
        "connections": sum(len(each.net_connections()) for each in all_of_it),
    }


def settled(processes: Mapping[str, Process], *, seconds: float = 3.0) -> Counts:
    """What each process holds once it has opened all that it opens on demand: the most within some seconds."""
    until, most = time.monotonic() + seconds, counts(processes)
    while time.monotonic() < until:
        time.sleep(0.25)
        now = counts(processes)
        if any(now[name][what] > most[name][what] for name in most for what in most[name]):
            most = {name: {what: max(now[name][what], most[name][what]) for what in most[name]} for name in most}
            until = time.monotonic() + seconds
    return most


def growth(before: Counts, after: Counts) -> dict[str, int]:
    """What is held more than before, above what comes and goes."""
    return {
        f"{what} of {name}": after[name][what] - before[name][what]
        for name in before
        for what, slack in SLACK.items()
        if after[name][what] > before[name][what] + slack
    }


def assert_all_is_closed(processes: Mapping[str, Process], before: Counts) -> None:
    """What was opened meanwhile, some seconds after."""
    until = time.monotonic() + 30
    while growth(before, counts(processes)) and time.monotonic() < until:
        time.sleep(0.5)
    assert growth(before, counts(processes)) == {}


def submitted(stack: Stack, *, seconds: float) -> list[str]:
    """Two tasks a second."""
    until, ids = time.monotonic() + seconds, []
    while time.monotonic() < until:
        ids.append(stack.submit("uppercase_text", f"number {len(ids)}"))
        time.sleep(0.5)
    return ids


def recovered(stack: Stack, ledger) -> str:
    """A task that is submitted when all is well again runs within seconds."""
    with ledger.timed("from the end of the refusal to an outcome"):
        task_id = stack.submit("reverse_string", "after")
        stack.wait_until("COMPLETED", [task_id], timeout=RECOVERY_SECONDS)
    return task_id


def test_nothing_grows_while_the_broker_refuses_and_work_goes_on_after(broker, stack, processes, ledger):
    first = [stack.submit("uppercase_text", f"before {number}") for number in range(20)]
    stack.wait_until("COMPLETED", first, timeout=30)
    before, pids = counts(processes), {name: process.pid for name, process in processes.items()}

    broker.refuse()
    meanwhile = submitted(stack, seconds=SETTLING_SECONDS)
    settled = counts(processes)
    meanwhile += submitted(stack, seconds=REFUSED_SECONDS)
    late = counts(processes)
    broker.allow()

    ids = [*first, *meanwhile, recovered(stack, ledger)]
    stack.wait_until("COMPLETED", ids, timeout=90)
    ledger.note(f"{len(ids)} tasks, {len(meanwhile)} of them while it refused; attempts: {dict(attempts(stack, ids))}")
    for what, held in {"before": before, "settled": settled, "late": late}.items():
        ledger.note(f"{what}: {held}")
    assert growth(before, settled) == {}
    assert growth(settled, late) == {}
    assert_all_is_closed(processes, before)
    ledger.note(f"after: {counts(processes)}")
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)
    assert {name: process.pid for name, process in processes.items() if process.is_running} == pids


@pytest.mark.parametrize("broker", KINDS, indirect=True)  # rabbitmqctl takes too long to flap
def test_nothing_grows_while_the_broker_flaps(broker, stack, processes, ledger):
    ids = flap(broker, stack)  # every process has opened by now what it opens on demand
    stack.wait_until("COMPLETED", ids, timeout=60)
    before = settled(processes)

    for _ in range(FLAPS):
        ids += flap(broker, stack)

    ids.append(recovered(stack, ledger))
    stack.wait_until("COMPLETED", ids, timeout=90)
    ledger.note(f"{len(ids)} tasks, {FLAPS} faults; attempts: {dict(attempts(stack, ids))}; before: {before}")
    ledger.note(f"after: {counts(processes)}")
    assert_all_is_closed(processes, before)
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)


def flap(broker: Refusing, stack: Stack) -> list[str]:
    """Refuse, and allow again; the tasks that were submitted meanwhile."""
    broker.refuse()
    ids = submitted(stack, seconds=FLAP_SECONDS)
    broker.allow()
    return ids + submitted(stack, seconds=FLAP_SECONDS)
