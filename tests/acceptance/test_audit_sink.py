"""The audit sink as a process, its receiver as another, and both killed in the middle: nothing is lost."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.config import load
from app.sinks.audit import receiver_of
from tests.conftest import unavailable
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.processes import Process
from tests.support.servers.programs import Sink, service_environment
from tests.support.servers.self_signed import self_signed
from tests.support.servers.syslog_receiver import SyslogReceiver
from tests.support.servers.waiting import wait_for

ADD = (
    "INSERT INTO audit_log (at, action, detail) "
    "VALUES (now(), 'test.done', jsonb_build_object('text', repeat('x', 500)))"
)
RSYSLOG = Path("/usr/sbin/rsyslogd")
CONFIGURATION = """
global(workDirectory="{folder}" defaultNetstreamDriverCAFile="{certificate}"
    defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{certificate}")
module(load="imptcp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imptcp" port="{tcp}" address="127.0.0.1" ruleset="audit")
input(type="imtcp" port="{tls}" address="127.0.0.1" ruleset="audit")
template(name="line" type="string" string="%pri% %app-name% %msgid%|%msg%\\n")
ruleset(name="audit") {{ action(type="omfile" file="{folder}/messages" template="line") }}
"""
STATUS = "SELECT position, last_error FROM sinks WHERE name = 'audit'"

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(180)]


class Ledger:
    """A database with an audit log to which entries are added, by and by."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def add(self, count: int) -> None:
        with self._connection.cursor() as cursor:
            for _ in range(count):
                cursor.execute(ADD)

    def status(self) -> tuple[int, str | None]:
        with self._connection.cursor() as cursor:
            cursor.execute(STATUS)
            row: Any = cursor.fetchone()
        return (row[0], row[1]) if row else (0, None)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def ledger(databases: Databases) -> Iterator[Ledger]:
    url = databases.create("audit_sink")
    made = Ledger(url)
    yield made
    made.close()
    databases.drop(url)


def started(ends: ExitStack, ledger: Ledger, receiver: SyslogReceiver) -> Sink:
    environment = service_environment(
        database_url=ledger.url, broker_url=NO_BROKER, AUDIT_SINK_URL=f"tcp://127.0.0.1:{receiver.port}"
    )
    sink = Sink(environment, "audit")
    ends.callback(sink.end)
    return sink.start().wait_until_ready()


def in_order_of_their_first(entries: list[dict[str, Any]]) -> list[int]:
    """The ids without what came again."""
    return list(dict.fromkeys(each["id"] for each in entries))


def test_nothing_is_lost_when_sink_and_receiver_are_killed_in_the_middle(ledger: Ledger, tmp_path: Path) -> None:
    with ExitStack() as ends:
        receiver = SyslogReceiver(tmp_path, pause_seconds=0.002)  # a batch takes it a second
        ends.callback(receiver.end)
        receiver.start().wait_until_ready()
        ledger.add(400)
        sink = started(ends, ledger, receiver)
        adding = threading.Thread(target=lambda: [ledger_adds(ledger) for _ in range(10)])
        adding.start()

        receiver.wait_for_entries(100)
        receiver.kill()  # within a batch
        cut_at = len(receiver.entries)
        assert 100 <= cut_at < 400
        wait_for(lambda: ledger.status()[1] is not None, timeout=20, what="the sink has noticed")
        assert ledger.status()[0] == 0
        receiver.start().wait_until_ready()
        receiver.wait_for_entries(cut_at + 300)
        sink.kill()  # within another
        sink.start().wait_until_ready()
        adding.join()
        receiver.wait_for_entries(1_400, timeout=60)
        wait_for(lambda: ledger.status() == (1_400, None), timeout=20, what="the ledger knows")
        taken = receiver.entries

        assert sink.stop() == 0
    assert in_order_of_their_first(taken) == list(range(1, 1_401))
    assert len(taken) > 1_400  # so that something was in fact cut off, and came again


def ledger_adds(ledger: Ledger) -> None:
    """A hundred more, and a moment."""
    ledger.add(100)
    time.sleep(0.2)


def test_a_receiver_that_comes_late_gets_everything_and_the_sink_needs_no_broker(
    ledger: Ledger, tmp_path: Path
) -> None:
    with ExitStack() as ends:
        receiver = SyslogReceiver(tmp_path)
        ends.callback(receiver.end)
        sink = started(ends, ledger, receiver)
        ledger.add(10)
        wait_for(lambda: ledger.status()[1] is not None, timeout=20, what="the sink has tried")
        receiver.start().wait_until_ready()
        receiver.wait_for_entries(10)

        assert sink.stop() == 0
    assert in_order_of_their_first(receiver.entries) == list(range(1, 11))


def test_rsyslog_takes_messages_over_tcp_and_tls_and_their_text_is_json(tmp_path: Path) -> None:
    if not RSYSLOG.exists() or not list(Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so")):
        unavailable("rsyslog: it is not installed here (on Debian: apt-get install rsyslog rsyslog-gnutls)")
    certificate = self_signed(tmp_path)
    ports = {scheme: free_port() for scheme in ("tcp", "tls")}
    (tmp_path / "rsyslog.conf").write_text(CONFIGURATION.format(folder=tmp_path, certificate=certificate, **ports))
    command = [RSYSLOG, "-n", "-f", tmp_path / "rsyslog.conf", "-i", tmp_path / "pid"]
    with Process(command, name="rsyslog", environment={"PATH": "/usr/bin:/bin"}):
        for first, scheme in ((1, "tcp"), (1_001, "tls")):
            wait_for(lambda port=ports[scheme]: listens(port), timeout=10, what="rsyslog listens")
            settings = load(
                {
                    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
                    "BROKER_URL": NO_BROKER,
                    "AUDIT_SINK_URL": f"{scheme}://127.0.0.1:{ports[scheme]}",
                    "AUDIT_SINK_CA_FILE": str(certificate),
                }
            )
            receiver = receiver_of(settings)
            assert receiver is not None
            for start in range(first, first + 1_000, 500):
                receiver.send([entry(number) for number in range(start, start + 500)])
        file = tmp_path / "messages"
        wait_for(lambda: file.read_text().count("\n") >= 2_000, timeout=20, what="rsyslog has written all")
        lines = file.read_text().splitlines()

    assert [json.loads(line.partition("|")[2]) for line in lines] == [entry(number) for number in range(1, 2_001)]
    assert {line.partition("|")[0] for line in lines} == {"109 taskledger user.changed"}


def entry(number: int) -> dict[str, Any]:
    """As the sink sends it."""
    detail = {"name": "Zoë\n" * (number % 200)}
    return {"id": number, "at": "2026-01-31T09:00:00.250000Z", "action": "user.changed", "detail": detail}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_without_a_receiver_the_command_says_what_is_missing(ledger: Ledger) -> None:
    sink = Sink(service_environment(database_url=ledger.url, broker_url=NO_BROKER), "audit").start()

    assert sink.wait(timeout=30) == 2
    assert "AUDIT_SINK_URL is not set" in sink.log
    sink.end()
