"""A connection stays open after its request, also where the thread that answered does not run for a moment."""

import itertools
import socket
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http import parser as gunicorn_parser

from app.server import answering
from app.server.answering import Answering

REQUEST = b"POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


@pytest.fixture
def interrupted(monkeypatch):
    """A second passes between any two looks at the clock."""
    seconds = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    monkeypatch.setattr(answering, "time", clock)
    monkeypatch.setattr(gunicorn_parser, "time", clock)


@pytest.fixture
def connection():
    client, server = socket.socketpair()
    with client, server:
        server.settimeout(2)
        parser = gunicorn_parser.RequestParser(Config(), server, ("127.0.0.1", 1))
        yield SimpleNamespace(client=client, parser=parser, has_large_place=False)


def stays(connection, *, keepalive=True) -> bool:
    return Answering._keepalive_after(None, connection, keepalive)  # type: ignore[arg-type]  # it needs no worker


@pytest.mark.usefixtures("interrupted")
def test_a_request_that_came_whole_keeps_its_connection_however_long_its_thread_rests(connection):
    connection.client.sendall(REQUEST + b"null")
    next(connection.parser)  # the application reads nothing of the body

    assert stays(connection)
    assert not stays(connection, keepalive=False)


def test_what_is_left_of_a_large_body_is_waited_for_a_moment(connection):
    connection.has_large_place = True
    connection.client.sendall(REQUEST + b"nu")
    next(connection.parser)

    assert not stays(connection)


def test_a_large_body_that_has_come_keeps_its_connection(connection):
    connection.has_large_place = True
    connection.client.sendall(REQUEST + b"null")
    next(connection.parser)

    assert stays(connection)
