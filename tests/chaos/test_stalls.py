"""A database that stalls, takes no changes or tells another time, hosts whose clock is set, a path that is cut."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg2
import pytest

from tests.chaos.database_faults import held, read_only
from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, attempts, counter, wait_until_running
from tests.support.servers.databases import ROOT
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

STALL_SECONDS = 20


def four_children(stack):
    stack.worker = Worker(stack.environment, concurrency=4)


@pytest.fixture
def stack(make_stack):
    """With a lease of 6 s: a stall of 20 s is longer than three of them."""
    return make_stack(lease_seconds="6", change=four_children)


@pytest.fixture
def running(stack):
    """Four tasks that run through the stall and end after it."""
    ids = [stack.submit("sleep_for", STALL_SECONDS + 15.0) for _ in range(4)]
    for task_id in ids:
        wait_until_running(stack, task_id, timeout=20)
    time.sleep(4)  # they are known to be healthy, and the dispatcher has been connected for a lease
    return ids


def assert_unharmed(stack, ids):
    stack.wait_until("COMPLETED", ids, timeout=60)
    assert attempts(stack, ids) == {1: len(ids)}
    assert counter(stack, "attempts_lost") == 0
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)


@pytest.mark.parametrize("table", ["tasks", "workers", "pauses"])
def test_a_lock_on_a_table_rescues_nobody_when_it_is_released(stack, running, ledger, table):
    with ledger.timed(f"an exclusive lock on {table}"), held(stack.database_url, f"LOCK TABLE {table}"):
        time.sleep(STALL_SECONDS)

    assert_unharmed(stack, running)


def test_locks_on_rows_end_no_healthy_child(stack, running, ledger):
    with ledger.timed("locks on the rows of running tasks"), held(stack.database_url, "SELECT FROM tasks FOR UPDATE"):
        time.sleep(STALL_SECONDS)

    assert_unharmed(stack, running)


def test_a_server_that_takes_no_changes_is_an_outage_like_any_other(stack, running, postgres, ledger):
    """As after a failover, until the clients find the new primary."""
    ending = stack.submit("sleep_for", 5.0)  # waits for a child
    with ledger.timed("a server that is read-only"), read_only(postgres):
        time.sleep(1)  # sessions hear of it one after the other
        answers = set()
        end = time.monotonic() + STALL_SECONDS
        while time.monotonic() < end:
            answers.add(stack.post("/tasks", {"type": "uppercase_text", "payload": "x"}).status_code)
            answers.add(stack.http.get(f"{stack.api.url}/health/ready", timeout=10).status_code)
            time.sleep(0.5)

    assert answers == {503}
    assert_unharmed(stack, [*running, ending])
    assert "Traceback" not in stack.api.log


@pytest.mark.parametrize("hours", [1, -1])
def test_a_host_whose_clock_is_set_harms_no_task(make_stack, settable_clock, tmp_path, ledger, hours):
    """API, worker and dispatcher are on it; PostgreSQL is elsewhere."""
    step = tmp_path / "step"
    step.write_text("0")
    faked = {"LD_PRELOAD": str(settable_clock), "CLOCK_STEP_FILE": str(step)}

    def change(stack):
        four_children(stack)
        for process in (stack.worker, stack.dispatcher, stack.api):
            process.environment = {**process.environment, **faked}

    stack = make_stack(lease_seconds="6", change=change)
    running = [stack.submit("sleep_for", 20.0) for _ in range(4)]
    for task_id in running:
        wait_until_running(stack, task_id, timeout=20)
    moment = datetime.now(UTC) + timedelta(minutes=30)
    later = stack.submit("uppercase_text", "later", scheduled_at=moment.isoformat())
    stack.post("/task-types/reverse_string/pause", {})
    waiting = stack.submit("reverse_string", "waits", expires_at=moment.isoformat())
    time.sleep(8)

    with ledger.timed(f"a clock that is set by {hours} h"):
        step.write_text(str(hours * 3600))
        time.sleep(STALL_SECONDS)

    assert_unharmed(stack, running)
    assert stack.statuses([later]) == {"SCHEDULED": 1}
    assert stack.statuses([waiting]) == {"PENDING": 1}
    stack.post("/task-types/reverse_string/resume", {})
    stack.wait_until("COMPLETED", [waiting, stack.submit("uppercase_text", "as before")], timeout=30)


LEAD = """
import sys, time
from app.clock import utcnow
from app.services.leader import LeaderLock
leader = LeaderLock("cut_off")
assert leader.take(utcnow())
print("leads", flush=True)
time.sleep(300)
"""


NETWORK = "10.231.77"  # of this test alone: a pair of virtual interfaces, one of them in a namespace


@pytest.fixture
def other_host():
    """The name of a network namespace, which is a host of its own, and our address on the link to it."""
    name, ours, theirs = f"tl{os.getpid()}", f"tla{os.getpid()}", f"tlb{os.getpid()}"
    run = partial(subprocess.run, check=True)
    run(["ip", "netns", "add", name])
    try:
        run(["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name])
        run(["ip", "address", "add", f"{NETWORK}.1/24", "dev", ours])
        run(["ip", "link", "set", ours, "up"])
        for command in (["address", "add", f"{NETWORK}.2/24", "dev", theirs], ["link", "set", theirs, "up"]):
            run(["ip", "-n", name, *command])
        yield name, theirs
    finally:
        run(["ip", "netns", "delete", name])


def test_leadership_ends_when_its_holder_is_cut_off(other_host, ledger):
    name, link = other_host
    with PrivatePostgres(other_host=f"{NETWORK}.1") as server:
        environment = {**os.environ, "DATABASE_URL": server.url().replace("127.0.0.1", f"{NETWORK}.1")}
        command = ["ip", "netns", "exec", name, sys.executable, "-c", LEAD]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as leader:
            assert leader.stdout.readline() == "leads\n"
            subprocess.run(["ip", "-n", name, "link", "set", link, "down"], check=True)
            with ledger.timed("from the cut of the leader's link until another process leads") as took:
                wait_for(lambda: _can_lead(server.url()), timeout=60, what="another process leads")
            leader.kill()

    assert took[0] < 30


def _can_lead(url: str) -> bool:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtext('taskledger.cut_off'))")
            return bool(cursor.fetchone()[0])
    finally:
        connection.close()
