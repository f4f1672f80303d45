"""`make demo` and the peers that `make run` starts for it: every type works at once, without configuration."""

import json
import os
import re
import subprocess
import sys

import pytest
import requests

from tests.support.servers.databases import ROOT
from tests.support.servers.embedded import Embedded
from tests.support.servers.waiting import wait_for

README = ROOT / "README.md"
PEERS = ("fetch_orders", "generate_pdf", "http_request", "send_email")


@pytest.fixture(scope="module")
def embedded():
    embedded = Embedded()
    yield embedded.start().wait_until_ready()
    embedded.end()


def example_of(embedded: Embedded, name: str):
    """The type's first example, at the port that the orders service has here."""
    from taskledger_sdk.registry import get_type

    text = repr(get_type(name).examples[0]).replace("127.0.0.1:8020", f"127.0.0.1:{embedded.ports['DEMO_ORDERS_PORT']}")
    return eval(text)


@pytest.mark.parametrize("name", PEERS)
def test_the_example_of_a_type_with_peers_runs_as_it_stands(embedded, name):
    task = embedded.task(embedded.submit(name, example_of(embedded, name)), wait=30)

    assert (task["status"], task["error"]) == ("COMPLETED", None)


def test_a_mail_becomes_a_file(embedded):
    mail = {"to": "dora@example.org", "subject": "To be read on disk", "text": "Łódź"}

    task = embedded.task(embedded.submit("send_email", mail), wait=30)

    kept = [path.read_text() for path in (embedded.var_dir / "mail").glob("*.eml")]
    assert [text for text in kept if task["result"]["message_id"] in text and "To be read on disk" in text]


def test_other_private_addresses_stay_out_of_reach(embedded):
    url = f"http://127.0.0.1:{embedded.ports['FLOWER_PORT']}/"

    task = embedded.task(embedded.submit("http_request", {"url": url}), wait=30)

    assert (task["status"], task["error"]["type"]) == ("FAILED", "AddressRefused")


def test_the_demo_shows_one_task_of_each_type(embedded):
    ports = {name: str(port) for name, port in embedded.ports.items()}
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(embedded.var_dir), "COLUMNS": "140", **ports}

    shown = subprocess.run(
        [sys.executable, "-m", "app.embedded.demo"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )

    types = [
        each["name"]
        for each in requests.get(f"{embedded.url}/task-types", headers=embedded.as_admin, timeout=10).json()["items"]
    ]
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout
    assert all(name in shown.stdout for name in types)
    assert "FAILED" not in shown.stdout


def test_without_a_service_the_demo_says_what_to_start():
    shown = subprocess.run(
        [sys.executable, "-m", "app.embedded.demo"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PORT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (shown.returncode, "start `make run` first" in shown.stderr) == (1, True)


def test_undoing_a_mail_sends_a_cancellation(embedded):
    sent = embedded.submit("send_email", {"to": "eve@example.org", "subject": "Bought by mistake"})
    assert embedded.task(sent, wait=30)["status"] == "COMPLETED"

    answer = requests.post(f"{embedded.url}/tasks/{sent}/compensate", headers=embedded.as_admin, json={}, timeout=10)
    undone = embedded.task(answer.json()["id"], wait=30)

    kept = [path.read_text() for path in (embedded.var_dir / "mail").glob("*eve@*.eml")]
    assert undone["status"] == "COMPLETED"
    assert ["Subject: Cancelled: Bought by mistake" in text for text in kept].count(True) == 1


def test_orders_become_an_invoice_a_pdf_and_a_mail_without_changing_their_shape(embedded):
    period = {"customer_id": "chain-1", "date_from": "2026-03-01", "date_to": "2026-03-31"}

    def result_of(name, payload):
        task = embedded.task(embedded.submit(name, payload), wait=30)
        assert task["status"] == "COMPLETED", task["error"]
        return task["result"]

    orders = result_of("fetch_orders", period)
    charged = {name: orders[name] for name in ("customer_name", "currency", "lines")}
    invoice = result_of("create_invoice", period | charged)
    pdf = result_of("generate_pdf", {"template": "invoice", "data": invoice})
    mail = {"to": "chain@example.org", "subject": invoice["number"], "attachments": [pdf["artifact_id"]]}

    assert invoice["net"] == orders["total"]
    assert result_of("send_email", mail)["recipients"] == 1


def test_the_readmes_invoice_is_issued_printed_and_mailed(embedded):
    [command] = re.findall(r"^(curl [^`]*invoices/workflow/start.*?)\n```", README.read_text(), re.M | re.DOTALL)
    command = command.replace("127.0.0.1:8000", f"127.0.0.1:{embedded.ports['PORT']}")
    key = embedded.secrets["ADMIN_API_KEY"]

    started = subprocess.run(["bash", "-c", f"KEY={key}\n{command}"], capture_output=True, check=True, timeout=30)

    run_id = json.loads(started.stdout)["id"]
    status = wait_for(lambda: _ended(embedded, "/invoices/status/customer-1"), timeout=60, what="the run ends")
    [invoice] = status["invoices"]
    [mail] = [
        path.read_bytes()
        for path in (embedded.var_dir / "mail").glob("*customer-1@example.org*.eml")
        if invoice["number"].encode() in path.read_bytes()
    ]
    assert (status["status"], status["run"]["id"], invoice["status"]) == ("COMPLETED", run_id, "ISSUED")
    assert b"application/pdf" in mail
    path = re.search(r"`GET (/invoices/\{number\}/pdf)`", README.read_text())[1].format(number=invoice["number"])
    printed = requests.get(f"{embedded.url}{path}?wait=10", headers=embedded.as_admin, timeout=20)
    assert printed.content.startswith(b"%PDF-")
    assert invoice["number"] != "INV-000001"  # the demonstration before this drew that, and it is of another customer
    assert _get(embedded, f"/invoices/{invoice['number']}/pdf").content.startswith(b"%PDF-")
    assert "COMPLETED, 100 %" in _get(embedded, f"/runs/{run_id}/graph.svg").text


def test_an_invoice_whose_pdf_is_gone_is_printed_again_when_somebody_asks(embedded):
    body = {"customer_id": "customer-7", "date_from": "2026-02-01", "date_to": "2026-02-28"}
    requests.post(f"{embedded.url}/invoices/workflow/start", json=body, headers=embedded.as_admin, timeout=10)
    status = wait_for(lambda: _ended(embedded, "/invoices/status/customer-7"), timeout=60, what="the run ends")
    number, [task_id] = (
        status["invoices"][0]["number"],
        [step["task_id"] for step in status["run"]["steps"] if step["key"] == "generate_pdf"],
    )
    before = _get(embedded, f"/invoices/{number}/pdf").content
    artifact = embedded.task(task_id)["result"]["artifact_id"]
    requests.delete(f"{embedded.url}/artifacts/{artifact}", headers=embedded.as_admin, timeout=10).raise_for_status()

    asked = _get(embedded, f"/invoices/{number}/pdf")
    again = _get(embedded, f"/invoices/{number}/pdf?wait=30")

    assert (asked.status_code, asked.json()["type"]) == (202, "generate_pdf")
    assert again.content == before  # the same invoice gives the same bytes


def _get(embedded, path):
    return requests.get(f"{embedded.url}{path}", headers=embedded.as_admin, timeout=40)


def _ended(embedded, path):
    answer = _get(embedded, path).json()
    return answer if answer["status"] not in ("RUNNING", "COMPENSATING") else None
