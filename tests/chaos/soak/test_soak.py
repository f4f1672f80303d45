"""Minutes of mixed load with a fault every ten seconds: nothing is lost, nothing is doubled, nothing grows.

SOAK_MINUTES says for how long, 20 unless it is set, and 3 at least; SOAK_SEED draws other faults in another order.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.chaos.evidence import assert_histories_hold, assert_report_clean
from tests.chaos.faults import Restarter
from tests.chaos.ledger import Ledger
from tests.chaos.soak.accounts import Accounts
from tests.chaos.soak.client import Client
from tests.chaos.soak.faults import SoakFaults
from tests.chaos.soak.installation import Installation, installed
from tests.chaos.soak.load import Load
from tests.chaos.soak.receiver import CallbackReceiver
from tests.chaos.soak.resources import Usage, compared, measured, table
from tests.chaos.soak.verdict import BACKLOG, judged
from tests.support.servers.waiting import wait_for

MINUTES = max(3.0, float(os.environ.get("SOAK_MINUTES", "20")))
SEED = int(os.environ.get("SOAK_SEED", "20261128"))
EVERY_SECONDS = 10.0
FIRST_LOOK_SECONDS, CALM_SECONDS = 120.0, 22.0
DRAIN_SECONDS = 240.0
SHOWN = 20  # of what is wrong

pytestmark = [pytest.mark.soak, pytest.mark.timeout(int(MINUTES * 60 + 600))]


def test_minutes_of_load_and_faults_lose_nothing_double_nothing_and_leak_nothing(
    chaos_databases, postgres, rabbitmq, settable_clock, ledger, tmp_path
):
    accounts, ending = Accounts(), threading.Event()
    with (
        CallbackReceiver() as receiver,
        installed(
            database_url=chaos_databases.create(f"soak_{uuid4().hex[:8]}"),
            postgres=postgres,
            rabbitmq=rabbitmq,
            clock=settable_clock,
            directory=tmp_path,
        ) as there,
    ):
        client = Client(there.stack.api.url, dict(there.stack.http.headers), accounts, ending)
        load = Load(
            client,
            accounts,
            trace=tmp_path / "trace",
            callback_url=receiver.url,
            unfinished=there.unfinished,
            seed=SEED,
            ending=ending,
        )
        load.prepare()
        with Restarter(list(there.processes.values()), ledger) as restarter:
            soak = Soak(there, load, restarter, ledger)
            load.start()
            soak.strike_until(FIRST_LOOK_SECONDS - CALM_SECONDS)
            first = soak.look("minute two")
            soak.strike_until(MINUTES * 60 - CALM_SECONDS)
            last = soak.look("the end")
            load.stop()
            with ledger.timed("after the load, until nothing was left to do"):
                drain(there, ledger)
            verdict = judged(there.stack, accounts, set(receiver.calls))
            comparisons = compared(first, last)
            ledger.note(f"{accounts.kinds.total()} accepted: {dict(sorted(accounts.kinds.items()))}")
            ledger.note(f"{verdict.tasks} tasks in the ledger; requests repeated: {dict(accounts.refusals)}")
            ledger.note(f"{soak.struck.total()} faults: {dict(sorted(soak.struck.items()))}")
            ledger.note(f"{restarter.restarts} processes started again")
            ledger.note("\n  ".join([f"lost: {len(verdict.lost)}", *verdict.lost[:SHOWN]]))
            ledger.note("\n  ".join([f"doubled: {len(verdict.doubled)}", *verdict.doubled[:SHOWN]]))
            ledger.note(f"minute two -> the end:\n{table(comparisons)}")
            assert load.failures == []
            assert verdict.lost == []
            assert verdict.doubled == []
            assert_histories_hold(there.stack)
            wait_for(lambda: there.stack.get("/integrity").json().get("clean"), timeout=60, what="the report is clean")
            assert_report_clean(there.stack, ledger)
            assert [line for each in comparisons for line in each.grown] == []


class Soak:
    """The faults, by the clock, and the moments of calm in which is measured."""

    def __init__(self, there: Installation, load: Load, restarter: Restarter, ledger: Ledger) -> None:
        self._there, self._load, self._restarter, self._ledger = there, load, restarter, ledger
        chance = random.Random(SEED)
        self._faults = SoakFaults(there, chance)
        self._names = _drawn(sorted(self._faults.kinds), chance)
        self._began = time.monotonic()
        self._next = EVERY_SECONDS / 2
        self.struck: Counter[str] = Counter()

    def strike_until(self, seconds: float) -> None:
        """A fault every ten seconds; one that lasts longer leaves the others no more time."""
        while self._next < seconds:
            time.sleep(max(0.0, self._next - self._elapsed()))
            self._next = max(self._next, self._elapsed()) + EVERY_SECONDS
            name = next(self._names)
            what = self._strike(name)
            self.struck[name] += 1
            self._ledger.note(f"{name}: {what}")

    def look(self, when: str) -> list[Usage]:
        """Wait until everything runs, give each child each type to run, and measure."""
        self._restarter.wait_until_all_are_ready()
        self._load.all_types(6)
        time.sleep(max(5.0, CALM_SECONDS - 12))
        usages = measured(self._there.processes)
        self._ledger.note(f"measured {len(usages)} processes at {when}")
        self._next = max(self._next, self._elapsed())
        return usages

    def _strike(self, name: str) -> str:
        """The victim may just be starting again: then it is hit as soon as it is there."""

        def strike() -> str:
            try:
                return self._faults.kinds[name]()
            except (IndexError, LookupError, ProcessLookupError):
                return ""

        return wait_for(strike, timeout=60, what=f"somebody is hit by: {name}")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def _drawn(names: list[str], chance: random.Random) -> Iterator[str]:
    """Each kind once in a random order, then each again in another one, and so on."""
    while True:
        chance.shuffle(names)
        yield from names


def drain(there: Installation, ledger: Ledger) -> None:
    """Wait until all has ended. Tells what has not."""
    there.stack.reconnect()
    try:
        wait_for(lambda: there.stack.rows(BACKLOG)[0]["n"] == 0, timeout=DRAIN_SECONDS, what="everything ends")
    except AssertionError:
        left = "SELECT id, type, status, attempt, due_at, dispatched_at, now() FROM tasks WHERE finished_at IS NULL"
        for row in there.stack.rows(f"{left} ORDER BY due_at LIMIT 10"):
            ledger.note(f"left: {dict(row)}")
        ledger.note(f"queue: {there.stack.broker.queue()}, duties: {there.stack.rows('SELECT * FROM duties')}")
        raise
