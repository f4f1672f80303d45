"""The private servers and process wrappers themselves: a wrong one would make every other test a lie."""

import os
import signal
import sys

import amqp
import psutil
import psycopg2
import pytest

from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.processes import Process, runs
from tests.support.servers.rows import fetched
from tests.support.servers.waiting import wait_for


def test_a_killed_postgresql_keeps_what_was_committed():
    with PrivatePostgres() as server:
        _execute(server, "CREATE TABLE kept AS SELECT 1 AS one")
        server.kill()
        assert not server.is_ready()

        server.start().wait_until_ready()

        assert _execute(server, "TABLE kept") == [(1,)]


def test_an_ended_process_leaves_no_children():
    script = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    parent = Process([sys.executable, "-c", script], name="parent", environment=os.environ).start()
    child = psutil.Process(int(wait_for(lambda: parent.log.strip())))

    parent.end()

    assert not runs(child)


class NeverReady(Process):
    def is_ready(self) -> bool:
        return False


def test_a_process_that_does_not_become_ready_shows_its_log():
    unlucky = NeverReady(["sh", "-c", "echo no such luck; exit 3"], name="unlucky", environment={}).start()
    try:
        with pytest.raises(AssertionError, match="ended with status 3\nno such luck"):
            unlucky.wait_until_ready()
    finally:
        unlucky.end()


def test_rabbitmq_in_memory_alarm_blocks_publishers_until_the_alarm_ends(rabbitmq):
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=rabbitmq.take_vhost()) as connection:
        told: list[str] = []
        connection.on_blocked = lambda _reason: told.append("blocked")
        connection.on_unblocked = lambda: told.append("unblocked")
        with rabbitmq.memory_alarm():
            connection.channel().basic_publish(amqp.Message("x"), exchange="", routing_key="nowhere")
            connection.drain_events(timeout=5)
        connection.drain_events(timeout=5)

        assert told == ["blocked", "unblocked"]


def test_frozen_rabbitmq_answers_again_when_it_goes_on(rabbitmq):
    rabbitmq.pause()
    try:
        assert not rabbitmq.is_ready()
    finally:
        rabbitmq.resume()

    wait_for(rabbitmq.is_ready, timeout=5)


def test_the_wrapper_s_pid_is_the_server_itself(rabbitmq):
    """A kill -9 of a wrapping shell would leave the server alive."""
    with open(f"/proc/{rabbitmq.pid}/comm") as file:
        assert file.read().strip() == "beam.smp"
    assert os.getpgid(rabbitmq.pid) == rabbitmq.pid
    assert rabbitmq.stop_signal is signal.SIGTERM


def _execute(server: PrivatePostgres, statement: str) -> list[tuple[int, ...]]:
    connection = psycopg2.connect(server.url())
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return fetched(cursor)
    finally:
        connection.close()
