"""The plain file: up, an account, a task of each type, and what happens when a part of it is stopped under work."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
import requests

from app.embedded import demo_orders
from tests.containers import documented
from tests.containers.installation import Installation, installed
from tests.support.servers.mail_server import MailServer
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

EMAIL, PASSWORD = "admin@example.com", "three random words"
GRACE_SECONDS = 5
PYTHON = ("api", "worker", "dispatcher", "stream", "sinks", "flower", "migrate")
MANY = 500


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server on every address of this host; its port."""
    server = ThreadingHTTPServer(("0.0.0.0", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Patient(BaseHTTPRequestHandler):
    """Answers when it is allowed to, so that a task that asks it takes as long as a test wants."""

    allowed, asked = Event(), Event()

    def do_GET(self) -> None:
        self.asked.set()
        self.allowed.wait(60)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def host(configured) -> str:
    """This host, as containers reach it."""
    [network] = json.loads(configured.run("docker", "network", "inspect", "bridge"))
    return network["IPAM"]["Config"][0]["Gateway"]


@pytest.fixture(scope="module")
def mail(host) -> Iterator[MailServer]:
    with MailServer(host="0.0.0.0") as running:
        yield running


@pytest.fixture(scope="module")
def slow_port() -> Iterator[int]:
    with served(Patient) as port:
        yield port


@pytest.fixture(scope="module")
def plain(folder, host, mail) -> Iterator[Installation]:
    """What `docker compose up --build` starts; the settings of the outside world are in `.env`."""
    with (
        served(demo_orders.Handler) as orders_port,
        installed(
            folder / "plain",
            "taskledger-plain",
            ADMIN_EMAIL=EMAIL,
            ADMIN_PASSWORD=PASSWORD,
            SMTP_URL=f"smtp://{host}:{mail.port}",
            MAIL_FROM="Taskledger <noreply@example.com>",
            ORDERS_API_URL=f"http://{host}:{orders_port}",
            OUTBOUND_ALLOW=host,
            SHUTDOWN_GRACE_SECONDS=str(GRACE_SECONDS),
        ) as installation,
    ):
        [up] = [each for each in documented.all_commands() if each == "docker compose up --build"]
        installation.orders = f"{host}:{orders_port}"
        installation.follow([up], here={up: f"{up} --detach"})
        installation.wait_until_healthy("api", "stream", "worker", "dispatcher", "flower", "postgres", "rabbitmq")
        yield installation


@pytest.fixture(scope="module", autouse=True)
def admin(plain) -> None:
    """Log in, as a person does."""
    body = {"email": EMAIL, "password": PASSWORD}
    answer = requests.post(f"{plain.url}/api/v1/auth/login", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    plain.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def test_a_task_of_each_type_is_completed(plain, mail):
    types = plain.http.get(f"{plain.url}/api/v1/task-types", timeout=30).json()["items"]
    ids = {}
    for kind in types:
        if kind["name"] != "compensation" and kind["examples"]:
            text = json.dumps(kind["examples"][0]).replace("127.0.0.1:8020", plain.orders)
            ids[kind["name"]] = plain.submit(kind["name"], json.loads(text))

    ended = {name: plain.ended(task_id) for name, task_id in ids.items()}
    undo = {"task_id": ids["generate_pdf"], "reason": "only tried"}
    ended["compensation"] = plain.ended(plain.submit("compensation", undo))

    assert {name: task["error"] for name, task in ended.items() if task["status"] != "COMPLETED"} == {}
    assert set(ended) >= {"create_invoice", "data_processing", "fetch_orders", "http_request", "send_email"}
    assert mail.received


def test_every_line_of_every_process_is_json(plain):
    lines = {
        name: [line for each in plain.containers(name, every=True) for line in plain.logs(each) if line.strip()]
        for name in PYTHON
        if name != "migrate"  # a command, which tells a person what it has done
    }

    assert all(lines[name] for name in ("api", "stream", "worker", "dispatcher", "flower"))
    assert [f"{name}: {line}" for name, found in lines.items() for line in found if not line.startswith("{")] == []


def test_a_worker_that_is_stopped_gives_its_long_task_back(plain, slow_port, host):
    Patient.asked.clear()
    task_id = plain.submit("http_request", {"url": f"http://{host}:{slow_port}/"}, timeout=120)
    assert Patient.asked.wait(60)
    [worker] = plain.containers("worker")

    began = time.monotonic()
    plain.compose("stop", "worker")
    took = time.monotonic() - began
    given_back, state = plain.task(task_id), plain.inspect(worker)["State"]
    Patient.allowed.set()
    plain.compose("start", "worker")
    ended = plain.ended(task_id)

    assert given_back["status"] == "PENDING"
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert GRACE_SECONDS <= took < 40
    assert (ended["status"], ended["attempt"]) == ("COMPLETED", 1)  # what was interrupted counts as no attempt


def test_restarts_of_broker_and_database_cost_time_and_no_task(plain):
    ids = []
    for index in range(MANY // 100):
        body = {"tasks": [{"type": "reverse_string", "payload": f"{index}-{each}"} for each in range(100)]}
        answer = plain.http.post(f"{plain.url}/api/v1/tasks/batch", json=body, timeout=60)
        assert answer.json()["accepted"] == 100, answer.text
        ids += [each["task"]["id"] for each in answer.json()["results"]]
        if index == 1:
            plain.compose("restart", "rabbitmq")
        if index == 3:
            plain.compose("restart", "postgres")
            wait_for(lambda: _is_ready(plain), timeout=90, what="the database answers again")

    plain.wait_until_completed(ids)


def _is_ready(plain: Installation) -> bool:
    time.sleep(0.5)
    return requests.get(f"{plain.url}/health/ready", timeout=10).status_code == 200


def test_one_worker_more_changes_nothing_about_the_first(plain):
    before = plain.containers("worker")
    images = {plain.inspect(each)["Image"] for name in PYTHON for each in plain.containers(name, every=True)}

    plain.follow(documented.block("deploy-with-compose", "docker compose up -d --no-recreate --scale"))

    after = plain.containers("worker")
    assert set(before) < set(after)
    assert len(after) == 2
    assert len(images) == 2  # one of the API, one of the worker, whichever services use them
    wait_for(
        lambda: plain.sql("SELECT count(DISTINCT node) FROM workers WHERE stopped_at IS NULL") == [["2"]], timeout=90
    )
