"""gunicorn with app.server.Threads: a thread stays with a connection, and nobody waits for it."""

import http.client
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port, wait_for

ROOT = Path(__file__).parents[3]
THREAD_OF_THE_REQUEST = """
import os, threading
def application(environ, start_response):
    body = f"{os.getpid()} {threading.get_ident()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]
"""


class Server(Process):
    """gunicorn with an application that answers with the thread it runs in."""

    def __init__(self, directory: Path, *, threads: int, processes: int) -> None:
        self.port = free_port()
        directory.joinpath("threads_shown.py").write_text(THREAD_OF_THE_REQUEST)
        command = [sys.executable, "-m", "gunicorn", "--worker-class", "app.server.Threads", "--no-control-socket"]
        command += [
            "--workers",
            str(processes),
            "--threads",
            str(threads),
            "--keep-alive",
            "75",
            "--graceful-timeout",
            "20",
        ]
        command += ["--bind", f"127.0.0.1:{self.port}", "--pythonpath", str(directory), "threads_shown:application"]
        super().__init__(command, name="server", environment={}, directory=ROOT)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/", timeout=2).ok
        except requests.RequestException:
            return False

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)


@pytest.fixture
def serve(tmp_path) -> Iterator:
    with ExitStack() as closing_all:

        def start(*, threads: int, processes: int = 1) -> Server:
            return closing_all.enter_context(Server(tmp_path, threads=threads, processes=processes))

        yield start


def thread_of(connection: http.client.HTTPConnection) -> bytes:
    connection.request("GET", "/")
    return connection.getresponse().read()


def test_requests_that_follow_at_once_are_answered_by_one_thread(serve):
    server = serve(threads=4)
    with ExitStack() as connections:
        others = [connections.enter_context(closing(server.connect())) for _ in range(4)]
        for other in others:
            thread_of(other)  # so that there are several threads to be handed to
        one = connections.enter_context(closing(server.connect()))

        # One and the same but for the odd pause of this machine that is longer than the thread stays.
        answered = [thread_of(one) for _ in range(200)]

    changes = sum(before != after for before, after in pairwise(answered))
    assert changes < 50


def test_no_connection_waits_for_a_thread_that_stays_with_another(serve):
    server = serve(threads=1)
    with ExitStack() as connections:
        several = [connections.enter_context(closing(server.connect())) for _ in range(5)]

        began = time.monotonic()
        answers = {thread_of(connection) for _ in range(20) for connection in several}

    assert len(answers) == 1
    assert time.monotonic() - began < 20 * 5 * 0.1


def test_requests_that_were_sent_together_are_all_answered(serve):
    server = serve(threads=2)
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)

        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 3:
            part = connection.recv(4096)
            assert part, f"hung up after {received!r}"
            received += part


def test_a_stop_ends_connections_that_rest(serve):
    server = serve(threads=2)
    with closing(server.connect()) as resting:
        thread_of(resting)

        began = time.monotonic()
        server.stop()

    assert time.monotonic() - began < 10  # gunicorn keeps them for 2 s


def test_connections_that_open_together_are_shared_by_the_processes(serve):
    """They stay: where one process took nearly all, it would work for the others, too."""
    server = serve(threads=8, processes=2)
    wait_for(lambda: len(processes_of(server, 4)) == 2, what="both processes accept")

    taken = [processes_of(server, 32) for _ in range(5)]

    assert min(min(counts.values()) for counts in taken) >= 4, taken


def processes_of(server: Server, connections: int) -> Counter[bytes]:
    """How many of so many connections, opened at once, each process has."""
    with ExitStack() as closing_all:
        opened = [closing_all.enter_context(closing(server.connect())) for _ in range(connections)]
        for each in opened:
            each.connect()
        return Counter(thread_of(each).split()[0] for each in opened)
