"""Invoice runs of 20 customers while workers, dispatcher and broker are killed: one invoice and one mail each.

Each customer is invoiced for two months, twice, which makes 80 runs; with CHAOS_FULL=1 for five, which makes 200.
"""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.parser import BytesHeaderParser

import pytest

from app.embedded import demo_orders
from tests.chaos.evidence import assert_histories_hold, assert_report_clean
from tests.chaos.faults import Faults, Restarter, strike
from tests.chaos.repetitions import repetitions
from tests.support.servers.mail_server import MailServer
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SEED = 20_261_122
CUSTOMERS = [f"customer-{number}" for number in range(1, 21)]
MONTHS = [(f"2026-{month:02}-01", f"2026-{month:02}-28") for month in range(1, repetitions(5, 2) + 1)]
UNREACHABLE = "customer-20"
"""Their mails are refused for good, so that their runs are undone."""
KILLS = ("worker_parent_killed",) * 3 + ("worker_child_killed",) * 5 + ("dispatcher_killed",) * 3 + ("broker_killed",)
UNFINISHED = "SELECT count(*) AS n FROM workflow_runs WHERE status IN ('RUNNING', 'PAUSED', 'COMPENSATING')"
ENDED = "SELECT labels->>'customer_id' AS customer, status, count(*) AS n FROM workflow_runs GROUP BY 1, 2"


def test_invoice_runs_in_a_storm_make_one_invoice_and_one_mail_each(make_stack, postgres, rabbitmq, ledger):
    chance = random.Random(SEED)
    kills = list(KILLS)
    chance.shuffle(kills)
    refuse = {f"{UNREACHABLE}@example.org": "550 no such mailbox"}
    with orders_service() as orders_url, MailServer(refuse=refuse) as mails:
        stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2", smtp_url=mails.url, orders_api_url=orders_url)
        with Worker(stack.environment) as second:
            workers = [stack.worker, second]
            faults = Faults(stack, workers, postgres, rabbitmq, accepted=lambda: 0, chance=chance)
            with Restarter([*workers, stack.dispatcher], ledger) as restarter, ThreadPoolExecutor(1) as starting:
                started = starting.submit(start_all, stack, chance)
                strike(faults, kills, ledger, pause_seconds=1.5)
                ledger.note(f"the storm is over, {stack.rows(UNFINISHED)[0]['n']} runs have not ended")
                started.result()
                with ledger.timed("all runs ended after the storm"):
                    wait_for(lambda: stack.rows(UNFINISHED)[0]["n"] == 0, timeout=400, what="every run ends")
                restarter.wait_until_all_are_ready()
            ledger.note(f"{restarter.restarts} processes started again")
            assert_all_is_as_promised(stack, mails, ledger)
            assert_histories_hold(stack)
            wait_for(lambda: stack.get("/integrity").json()["clean"], timeout=30, what="the report is clean")
            assert_report_clean(stack, ledger)


def start_all(stack, chance: random.Random) -> None:
    """Every customer and month twice, in a random order."""
    wanted = [(customer, month) for customer in CUSTOMERS for month in MONTHS] * 2
    chance.shuffle(wanted)
    for customer, (first, last) in wanted:
        body = {"customer_id": customer, "date_from": first, "date_to": last}
        answer = stack.post("/invoices/workflow/start", body)
        assert answer.status_code == 201, answer.text


def assert_all_is_as_promised(stack, mails: MailServer, ledger) -> None:
    ended = Counter()
    for row in stack.rows(ENDED):
        ended[row["customer"] == UNREACHABLE, row["status"]] += row["n"]
    invoices = {
        (row["customer_id"], str(row["date_from"])): row["n"]
        for row in stack.rows(
            "SELECT customer_id, date_from, count(*) AS n FROM invoices WHERE kind = 'invoice' AND status = 'ISSUED' "
            "GROUP BY customer_id, date_from"
        )
    }
    sent = [(to[0], BytesHeaderParser().parsebytes(content)) for to, content in mails.received]
    distinct = {(to, mail["Message-ID"]): mail["Subject"] for to, mail in sent}
    ledger.note(f"runs: {dict(ended)}; mails: {len(sent)}, of which {len(sent) - len(distinct)} were second copies")
    expected = {(customer, first) for customer in CUSTOMERS if customer != UNREACHABLE for first, _ in MONTHS}

    assert sum(ended.values()) == 2 * len(CUSTOMERS) * len(MONTHS)
    # A duplicate of a run that was undone may have found its invoice before that; it is completed all the same.
    assert {status for _, status in ended} <= {"COMPLETED", "COMPENSATED"}
    assert ended[False, "COMPLETED"] == 2 * len(expected)
    assert invoices == dict.fromkeys(expected, 1)
    assert Counter(to for to, _ in distinct) == Counter(f"{customer}@example.org" for customer, _ in expected)
    assert len(set(distinct.values())) == len(distinct)  # no number twice


@contextmanager
def orders_service():
    """The demo orders, in this process."""
    with demo_orders.make_server(0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:  # or a test that failed would never end
            server.shutdown()
            thread.join()
