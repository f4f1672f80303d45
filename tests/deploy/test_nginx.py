"""nginx as it is deployed, in front of a real API: clients that are slow on purpose hold nobody up."""

import http.client
import json
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.web.responses.problems import Problem
from tests.conftest import unavailable
from tests.support.people import Person, make_person
from tests.support.servers.certificates import make_secrets
from tests.support.servers.databases import NO_BROKER, ROOT
from tests.support.servers.processes import Process
from tests.support.servers.programs import Api, service_environment
from tests.support.servers.slow_clients import HALF_HEAD, SlowClients, percentile, upload_end, upload_head
from tests.support.servers.waiting import free_port

TASK = {"type": "reverse_string", "payload": "hello"}
HALF_BODY = b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
DEADLINE_SECONDS = 14.0


class Nginx(Process):
    """The deployed configuration, with ports and folders of this test's own."""

    def __init__(self, folder: Path, secrets: Path, *, api_port: int) -> None:
        self.port, self.plain_port = free_port(), free_port()
        text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
        (folder / "https_port.conf").write_text("map '' $https_port { default ''; }\n")
        for theirs, ours in {
            "include /tmp/taskledger/https_port.conf": "include https_port.conf",
            " /tmp/": f" {folder}/",
            "/run/secrets/": f"{secrets}/",
            "set $api api:8000": f"set $api 127.0.0.1:{api_port}",
            "set $stream stream:8000": f"set $stream 127.0.0.1:{api_port}",
            "listen 127.0.0.1:8081": f"listen 127.0.0.1:{free_port()}",
            "listen 8443": f"listen 127.0.0.1:{self.port}",
            "listen 8080": f"listen 127.0.0.1:{self.plain_port}",
            "    http2 on;\n": "",  # since nginx 1.25.1; Debian's may be older
        }.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        (folder / "nginx.conf").write_text(("user root;\n" if os.geteuid() == 0 else "") + text)
        command = ["nginx", "-c", folder / "nginx.conf", "-p", folder, "-g", "daemon off;"]
        super().__init__(command, name="nginx", environment={"PATH": f"{os.environ['PATH']}:/usr/sbin"})

    def is_ready(self) -> bool:
        try:
            with closing(self.connect()) as connection:
                return ask(connection, "GET", "/health/live") == 200
        except OSError:
            return False

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=tls())


def ask(connection: http.client.HTTPConnection, method: str, path: str, **more: Any) -> int:
    """The status of an answer."""
    connection.request(method, path, **more)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
def api(database_url, engine, tmp_path) -> Iterator[Api]:
    environment = service_environment(
        database_url=database_url,
        broker_url=NO_BROKER,
        artifacts_url=f"file://{tmp_path}/artifacts",
        trusted_proxies="127.0.0.1",
    )
    with Api(environment, threads=8) as running:
        yield running


@pytest.fixture
def nginx(api, tmp_path) -> Iterator[Nginx]:
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        unavailable("nginx: it is not installed here (on Debian: apt-get install nginx-light)")
    secrets = tmp_path / "secrets"
    with Nginx(tmp_path, make_secrets(secrets), api_port=api.port) as running:
        yield running


@pytest.fixture
def person(database_url) -> Person:
    return make_person(database_url)


@pytest.mark.parametrize("kind", ["half heads", "half bodies", "uploads that become slow"])
def test_slow_clients_hold_nobody_up(nginx, person, kind):
    begun = {
        "half heads": [HALF_HEAD] * 40,
        "half bodies": [HALF_BODY] * 40,
        "uploads that become slow": [upload_head(person.headers, size=10_000_000) + b"x" * 200_000] * 20,
    }[kind]
    health, submissions = [], []
    headers = person.headers | {"Content-Type": "application/json"}
    with SlowClients(nginx.port, begun, tls=tls()) as clients, closing(nginx.connect()) as connection:
        for _ in range(20):
            began = time.monotonic()
            assert ask(connection, "GET", "/health/live") == 200
            health.append(time.monotonic() - began)
            began = time.monotonic()
            assert ask(connection, "POST", "/api/v1/tasks", body=json.dumps(TASK), headers=headers) == 201
            submissions.append(time.monotonic() - began)
        if kind != "uploads that become slow":  # those wait for one another, each for as long as it may
            clients.answers(within=DEADLINE_SECONDS)

    assert percentile(health, 0.9) < 0.2
    assert percentile(submissions, 0.9) < 0.3


@pytest.mark.long
def test_an_upload_of_somebody_on_the_way_goes_through(nginx, person):
    size, pieces = 1_800_000, 50
    head = upload_head(person.headers | {"Connection": "close"}, size=size)
    with SlowClients(nginx.port, [head], tls=tls()) as clients:
        [connection] = clients.sockets
        for _ in range(pieces):
            connection.sendall(b"y" * (size // pieces))
            time.sleep(0.25)
        connection.sendall(upload_end())
        [answer] = clients.answers(within=20)

    assert answer.startswith(b"HTTP/1.1 201 ")


class PlainNginx(Nginx):
    """With nothing behind it: only its plain port is asked."""

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.plain_port)) == 0


@pytest.fixture
def plain(tmp_path) -> Iterator[PlainNginx]:
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        unavailable("nginx: it is not installed here (on Debian: apt-get install nginx-light)")
    with PlainNginx(tmp_path, make_secrets(tmp_path / "secrets"), api_port=free_port()) as running:
        yield running


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/v1/auth/login?x=1", "//api/v1/tasks", "/%61pi/v1/tasks"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_program_that_asks_without_tls_is_refused_and_not_led_on(plain, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", plain.plain_port, timeout=5)
    with closing(connection):
        connection.request(method, path, headers={"Authorization": "Bearer tl_secret"})
        answer = connection.getresponse()
        problem = json.loads(answer.read())

    assert (answer.status, answer.headers["Location"]) == (403, None)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (403, "https_required")
    assert set(problem) == set(Problem().fields)


@pytest.mark.parametrize("path", ["/", "/login?next=/tasks", "/apis"])
def test_a_page_that_is_asked_for_without_tls_is_redirected(plain, path):
    connection = http.client.HTTPConnection("127.0.0.1", plain.plain_port, timeout=5)
    with closing(connection):
        connection.request("GET", path, headers={"Host": "ledger.example"})
        answer = connection.getresponse()

    assert (answer.status, answer.headers["Location"]) == (308, f"https://ledger.example{path}")
