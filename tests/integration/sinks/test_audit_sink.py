"""The audit sink: what the receiver has, what the ledger says it has, and what happens while there is none."""

import json
import socket
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa
from werkzeug import Response

from app.clock import utcnow
from app.commands.doctor.audit_points import of_audit_sink
from app.services.accounts import audit
from app.services.accounts.audit import COMMAND_LINE
from app.services.events import sinks
from app.services.measuring import ledger_metrics
from app.sinks.audit import AuditRunner, Failed, receiver_of
from app.sinks.audit import runner as runner_module
from app.sinks.audit.runner import pause_after
from tests.support.factories import seconds
from tests.support.servers.self_signed import self_signed
from tests.support.servers.syslog_receiver import SyslogReceiver


@pytest.fixture
def entry(session):
    """Adds entries to the audit log."""

    def add(count=1, **detail):
        for number in range(count):
            audit.record(session, "test.done", COMMAND_LINE, now=utcnow(), subject=f"test:{number}", **detail)
        session.commit()

    return add


@pytest.fixture
def make_runner(settings, engine):
    """A sink that has its turn and is moved by hand; `url` is its receiver."""
    made = []

    def make(url, **given):
        runner = AuditRunner(receiver_of(replace(settings, audit_sink_url=url, **given)))
        made.append(runner)
        assert runner._take_lead()
        return runner

    yield make
    for runner in made:
        runner._leader.end()


@pytest.fixture
def endpoint(httpserver):
    """An HTTP endpoint: `answers` are given one after the other, then 204; `taken` is what it said yes to."""

    class Endpoint:
        url = httpserver.url_for("/audit?key=of-the-path")
        answers: list[Response] = []
        taken: list[dict] = []
        requests: list = []

    def answer(request):
        Endpoint.requests.append(request)
        given = Endpoint.answers.pop(0) if Endpoint.answers else Response(status=204)
        if given.status_code < 300:
            Endpoint.taken += [json.loads(line) for line in request.get_data().splitlines()]
        return given

    Endpoint.answers, Endpoint.taken, Endpoint.requests = [], [], []
    httpserver.expect_request("/audit").respond_with_handler(answer)
    return Endpoint


@pytest.fixture
def syslog(tmp_path):
    with SyslogReceiver(tmp_path) as running:
        yield running


def ids(entries):
    return [each["id"] for each in entries]


def status(session):
    session.rollback()
    [found] = [each for each in sinks.statuses(session, now=utcnow()) if each.name == "audit"]
    return found


def send_all(runner):
    while runner.step():
        pass


def test_an_endpoint_gets_every_entry_once_with_its_hashes_and_the_secret(session, entry, make_runner, endpoint):
    entry(3, role="admin")
    runner = make_runner(endpoint.url, audit_sink_token="s3cret-of-the-receiver")

    send_all(runner)
    entry(2)
    send_all(runner)

    assert ids(endpoint.taken) == [1, 2, 3, 4, 5]
    assert [each["previous_hash"] for each in endpoint.taken[1:]] == [each["hash"] for each in endpoint.taken[:-1]]
    assert endpoint.taken[0]["detail"] == {"role": "admin"}
    assert {each.headers["Authorization"] for each in endpoint.requests} == {"Bearer s3cret-of-the-receiver"}
    assert {each.headers["Content-Type"] for each in endpoint.requests} == {"application/x-ndjson"}
    assert (status(session).position, status(session).lag_events) == (5, 0)


def test_what_an_endpoint_did_not_take_is_sent_again_in_order(session, entry, make_runner, endpoint, monkeypatch):
    monkeypatch.setattr(runner_module, "MAX_ENTRIES", 2)
    monkeypatch.setattr(runner_module, "pause_after", lambda *_: 0.0)
    entry(5)
    endpoint.answers = [Response(status=200), Response(status=500), Response(status=401), Response(status=200)]
    runner = make_runner(endpoint.url)

    runner.step(), runner.step(), runner.step()
    refused = status(session)
    send_all(runner)

    assert (refused.position, refused.lag_events) == (2, 3)
    assert refused.lag_seconds > 0
    assert refused.last_error == f"{endpoint.url.partition('/audit')[0]} answered 401 UNAUTHORIZED"
    assert ids(endpoint.taken) == [1, 2, 3, 4, 5]
    assert status(session).last_error is None


def test_a_redirect_is_not_followed_and_takes_nothing(session, entry, make_runner, endpoint, httpserver):
    entry()
    endpoint.answers = [Response(status=307, headers={"Location": httpserver.url_for("/elsewhere")})]
    httpserver.expect_request("/elsewhere").respond_with_data("thanks")

    make_runner(endpoint.url, audit_sink_token="s3cret").step()

    assert len(httpserver.log) == 1
    assert status(session).position == 0


def test_an_endpoint_that_takes_less_is_sent_less(session, entry, make_runner, endpoint):
    entry(8)
    endpoint.answers = [Response(status=413), Response(status=413)]
    runner = make_runner(endpoint.url)

    send_all(runner)

    assert [len(each.get_data().splitlines()) for each in endpoint.requests] == [8, 4, 2, 2, 2, 2]
    assert ids(endpoint.taken) == list(range(1, 9))


def test_a_receiver_that_asks_for_time_gets_it(entry, make_runner, endpoint, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(runner_module.time, "monotonic", lambda: now[0])
    entry()
    endpoint.answers = [Response(status=503, headers={"Retry-After": "30"})]
    runner = make_runner(endpoint.url)

    runner.step()
    now[0] += 29
    runner.step()
    assert len(endpoint.requests) == 1
    now[0] += 2
    runner.step()

    assert ids(endpoint.taken) == [1]


@pytest.mark.parametrize(
    ("failures", "chance", "seconds_"),
    [(1, 0.0, 1.0), (1, 1.0, 0.5), (2, 0.0, 2.0), (4, 0.0, 8.0), (7, 0.0, 60.0), (1_000, 1.0, 30.0)],
)
def test_pauses_double_to_a_minute(failures, chance, seconds_):
    assert pause_after(failures, chance) == seconds_


def test_a_syslog_receiver_gets_every_entry_in_frames(session, entry, make_runner, syslog):
    entry(700, name="Zoë\nMüller")  # more than a batch

    send_all(make_runner(f"tcp://127.0.0.1:{syslog.port}"))

    assert ids(syslog.entries) == list(range(1, 701))
    assert syslog.messages[0].startswith("<109>1 2")
    assert syslog.entries[0]["detail"] == {"name": "Zoë\nMüller"}
    assert status(session).position == 700


def test_over_tls_a_receiver_is_believed_by_its_certificate_only(session, entry, make_runner, tmp_path, monkeypatch):
    certificate = self_signed(tmp_path)
    entry(600)
    with SyslogReceiver(tmp_path, certificate=certificate) as syslog:
        url = f"tls://127.0.0.1:{syslog.port}"
        doubting = make_runner(url)
        doubting.step()
        refused = status(session)
        doubting._leader.end()
        send_all(make_runner(url, audit_sink_ca_file=str(certificate)))
        taken = ids(syslog.entries)

    assert "CERTIFICATE_VERIFY_FAILED" in refused.last_error
    assert refused.position == 0
    assert taken == list(range(1, 601))
    assert status(session).position == 600


class HalfReader:
    """Accepts a connection, reads some bytes of it, and hangs up."""

    def __init__(self, bytes_to_read):
        self.bytes_to_read = bytes_to_read
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        connection, _ = self.listener.accept()
        with self.listener, connection:
            left = self.bytes_to_read
            while left > 0 and (read := connection.recv(min(left, 4_096))):
                left -= len(read)


@pytest.mark.parametrize("bytes_to_read", [0, 1, 4_096, 150_000])
def test_a_receiver_that_hangs_up_before_it_has_read_all_has_taken_nothing(session, entry, make_runner, bytes_to_read):
    entry(500)
    receiver = HalfReader(bytes_to_read)

    make_runner(receiver.url).step()

    found = status(session)
    assert found.position == 0
    assert receiver.url in found.last_error


def test_nobody_listening_for_datagrams_is_noticed_and_a_listener_gets_all(session, entry, make_runner, monkeypatch):
    monkeypatch.setattr(runner_module, "pause_after", lambda *_: 0.0)
    entry(20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runner = make_runner(f"udp://127.0.0.1:{port}")
    runner.step()
    assert "nobody listens there" in status(session).last_error or "refused" in status(session).last_error
    assert status(session).position == 0

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", port))
        listener.settimeout(5)
        send_all(runner)
        received = [listener.recv(65_535) for _ in range(20)]

    assert [json.loads(each[each.index(b"{") :])["id"] for each in received] == list(range(1, 21))
    assert all(each.startswith(b"<109>1 ") for each in received)


def test_what_was_removed_before_it_was_sent_is_an_alarm_and_stops_nothing(session, entry, make_runner, endpoint):
    entry(5)
    session.execute(sa.text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
    session.execute(sa.text("DELETE FROM audit_log WHERE id IN (2, 3)"))
    session.execute(sa.text("ALTER TABLE audit_log ENABLE TRIGGER USER"))
    session.commit()

    send_all(make_runner(endpoint.url))

    assert ids(endpoint.taken) == [1, 4, 5]
    assert status(session).alarm == "2 entries between 0 and 5 were removed before they were sent"


def test_a_position_beyond_the_log_is_an_alarm_and_goes_back(session, entry, make_runner, endpoint):
    entry(2)
    session.execute(sa.text("INSERT INTO sinks (name, position) VALUES ('audit', 9)"))
    session.commit()

    runner = make_runner(endpoint.url)
    entry()
    send_all(runner)

    assert ids(endpoint.taken) == [3]
    assert status(session).alarm == "it stood at 9, and the newest entry is 2"


def test_one_sends_at_a_time(settings, make_runner, endpoint):
    make_runner(endpoint.url)

    assert not AuditRunner(receiver_of(replace(settings, audit_sink_url=endpoint.url)))._take_lead()


def lags(session):
    families = ledger_metrics.families(session, drain_seconds=60, concurrency_per_worker=4, now=utcnow())
    session.rollback()
    return {
        family.name: sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("sink") == "audit"
    }


def test_the_metrics_and_the_doctor_tell_its_lag(session, entry, make_runner, endpoint, settings):
    configured = replace(settings, audit_sink_url=endpoint.url)

    def doctor(**later):
        found = [
            (each.state.value, each.seen)
            for each in of_audit_sink(session, configured, now=utcnow() + later.get("later", seconds(0)))
        ]
        session.rollback()
        return found

    assert list(of_audit_sink(session, settings, now=utcnow())) == []
    assert [state for state, _ in doctor()] == ["fault"]
    runner = make_runner(endpoint.url)
    entry(3)
    waiting = lags(session)
    session.execute(sa.text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
    session.execute(sa.text("UPDATE audit_log SET at = at - interval '10 minutes'"))
    session.execute(sa.text("ALTER TABLE audit_log ENABLE TRIGGER USER"))
    session.commit()
    late = doctor()
    send_all(runner)

    assert (waiting["taskledger_sink_lag_events"], waiting["taskledger_sink_lag_seconds"] > 0) == (3, True)
    assert (late[0][0], "3 entries wait, the first for 60" in late[0][1]) == ("fault", True)
    assert lags(session)["taskledger_sink_lag_events"] == 0
    assert [state for state, _ in doctor()] == ["ok"]
    assert [state for state, _ in doctor(later=seconds(60))] == ["fault"]


def test_no_line_and_no_page_tells_what_may_be_a_secret_of_the_address(session, entry, make_runner, endpoint, settings):
    entry()
    endpoint.answers = [Response(status=500)]
    runner = make_runner(endpoint.url, audit_sink_token="s3cret-of-the-receiver")
    runner.step()

    told = f"{status(session)} {runner._receiver.name} {list(of_audit_sink(session, settings, now=utcnow()))}"
    assert "of-the-path" not in told
    assert "s3cret" not in told


def test_an_endpoint_that_is_away_is_a_failure_with_its_cause(settings):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    receiver = receiver_of(replace(settings, audit_sink_url=f"http://127.0.0.1:{port}/audit?key=of-the-path"))

    with pytest.raises(Failed) as raised:
        receiver.send([{"id": 1}])

    assert str(raised.value) == f"http://127.0.0.1:{port}: ConnectionRefusedError: [Errno 111] Connection refused"
