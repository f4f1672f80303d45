"""Connections: what is said when one cannot be had, what a lost one costs, and forks."""

import asyncio
import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kombu import Connection, Consumer, Producer, Queue
from kombu.exceptions import ChannelError
from nats.aio.client import Client as NatsConnection

from tasks.transports.nats.loop import event_loop
from tests.conformance.nats.conftest import QUEUE
from tests.support.servers.nats import PASSWORD, USER, PrivateNats, find_nats_server
from tests.support.servers.processes import Process
from tests.support.servers.raw_server import RawServer
from tests.support.servers.waiting import free_port, wait_for


def _fault(url: str) -> str:
    with pytest.raises(ConnectionError) as raised, Connection(url, connect_timeout=2) as connection:
        connection.connect()
    return str(raised.value)


def test_a_refused_connection_is_said_in_one_line():
    assert _fault("nats://user:secret-word@127.0.0.1:1") == (
        "NATS at 127.0.0.1:1 refused the connection: nothing listens there"
    )


def test_wrong_credentials_are_said_in_one_line(nats_server):
    assert _fault(nats_server.url("", password="wrong")) == (
        f"NATS at 127.0.0.1:{nats_server.port} refused the credentials in BROKER_URL"
    )


def test_a_host_that_does_not_exist_is_said_in_one_line():
    assert _fault("nats://no-such-host.invalid").startswith("NATS at no-such-host.invalid:4222: ")


def test_a_server_of_another_kind_is_said_in_one_line():
    with RawServer([b"220 mail.example.com ESMTP\r\n"], speaks_first=True) as server:
        assert _fault(f"nats://127.0.0.1:{server.port}") == f"what listens at 127.0.0.1:{server.port} is no NATS server"


def test_a_server_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "did not answer in time" in _fault(f"nats://127.0.0.1:{silent.getsockname()[1]}")


def test_a_server_without_jetstream_is_said_in_one_line(nats_server):
    with PrivateNats(find_nats_server(), jetstream=False) as server:
        assert _fault(server.url("")) == (
            f"NATS at 127.0.0.1:{server.port} has no JetStream for this account: start nats-server with --jetstream"
        )


def test_a_server_without_room_is_said_in_one_line_and_the_connection_goes_on():
    with PrivateNats(find_nats_server(), most_bytes=2_000_000) as server, Connection(server.new_url()) as connection:
        channel = connection.default_channel
        QUEUE(channel).declare()
        with pytest.raises(ChannelError) as raised:
            _publish_until_refused(channel)
        assert str(raised.value).startswith(f"NATS at 127.0.0.1:{server.port} has no room (")
        with pytest.raises(ChannelError, match="has no room"):  # a binding needs room, too
            Queue("other", QUEUE.exchange, routing_key="other")(channel).declare()

        channel.queue_purge("work")

        Producer(channel).publish("after", exchange="work", routing_key="work")
        assert channel.basic_get("work", no_ack=True).payload == "after"


def _publish_until_refused(channel) -> None:
    for _ in range(40):
        Producer(channel).publish(b"x" * 100_000, exchange="work", routing_key="work")


def test_of_several_hosts_one_that_answers_is_enough(nats_server):
    for url in (
        f"nats://{USER}:{PASSWORD}@127.0.0.1:1,127.0.0.1:{nats_server.port}",
        f"nats://{USER}:{PASSWORD}@127.0.0.1:1;{nats_server.url('')}",
    ):
        with Connection(url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=2, interval_start=0)
            assert connection.connected


def test_a_connection_that_is_lost_before_it_is_used_leaves_nothing_open(url):
    """kombu connects anew by the same transport, without closing what it had there."""
    this_process = psutil.Process()
    with Connection(url, connect_timeout=2) as connection:
        connection.connect()
        before = this_process.num_fds()
        for _ in range(5):
            connection.transport.nats._fail("lost")
            connection.channel()

        assert this_process.num_fds() == before


def test_no_password_is_shown(url):
    assert PASSWORD not in Connection(url).as_uri()
    assert PASSWORD not in repr(Connection(url))


def test_a_killed_server_is_noticed_at_once_and_what_was_confirmed_is_there_when_it_is_back(url, nats_server):
    connection = Connection(url, connect_timeout=3)
    channel = connection.channel()
    QUEUE(channel).declare()
    Producer(channel).publish("confirmed", exchange="work", routing_key="work")

    nats_server.kill()
    try:
        with pytest.raises(ConnectionError):
            channel.queue_declare("work", passive=True)
        assert not connection.connected
        connection.close()
    finally:
        nats_server.start().wait_until_ready()

    got = []
    with Connection(url) as again, Consumer(again.channel(), [QUEUE], callbacks=[lambda body, _: got.append(body)]):
        again.drain_events(timeout=5)
    assert got == ["confirmed"]


def test_an_error_reaches_whoever_waits_for_messages(url, nats_server):
    with Connection(url) as connection, Consumer(connection.channel(), [QUEUE], callbacks=[lambda *_: None]):
        transport = connection.transport
        threading.Timer(0.2, nats_server.kill).start()
        try:
            with pytest.raises(ConnectionError):
                transport.drain_events(connection, timeout=20)
        finally:
            wait_for(lambda: not nats_server.is_running, what="the server is dead")
            nats_server.start().wait_until_ready()


def test_a_lost_connection_that_nats_py_tells_nobody_of_is_noticed(url):
    """It does not where data could not be sent any more; two of its parts are called here as it calls them."""
    with Connection(url) as connection, Consumer(connection.channel(), [QUEUE], callbacks=[lambda *_: None]):
        transport = connection.transport
        asyncio.run_coroutine_threadsafe(transport.nats.nc._close(NatsConnection.CLOSED, do_cbs=False), event_loop())

        with pytest.raises(ConnectionError):
            transport.drain_events(connection, timeout=5)


def test_connections_leave_nothing_behind(url):
    def use() -> None:
        with Connection(url) as connection:
            QUEUE(connection.default_channel).declare()

    use()
    process = psutil.Process()
    before = process.num_fds(), process.num_threads()
    for _ in range(10):
        use()

    wait_for(lambda: process.num_fds() <= before[0] and process.num_threads() <= before[1])


def test_a_fork_begins_anew_and_leaves_its_parents_connection_alone(url):
    with Connection(url) as connection:
        channel = connection.channel()
        QUEUE(channel).declare()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writing, _in_child(channel, url))
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            assert answer.read() == "inherited: refused, own: works"

        assert channel.queue_declare("work", passive=True).message_count == 1


def _in_child(inherited, url: str) -> bytes:
    try:
        inherited.queue_declare("work", passive=True)
        said = "used"
    except ConnectionError:
        said = "refused"
    try:
        with Connection(url) as own:
            Producer(own.default_channel).publish("from the child", exchange="", routing_key="work")
        return f"inherited: {said}, own: works".encode()
    except Exception as error:
        return f"inherited: {said}, own: {error!r}".encode()


def test_a_message_that_is_too_large_is_refused_and_the_connection_goes_on(channel):
    with pytest.raises(ChannelError, match="larger than this NATS server takes"):
        Producer(channel).publish("x" * 2_000_000, exchange="work", routing_key="work")

    Producer(channel).publish("small", exchange="work", routing_key="work")
    assert channel.queue_declare("work", passive=True).message_count == 1


def test_a_stream_that_was_deleted_behind_our_back_is_made_again(url, channel, connect):
    got, connection = [], connect()
    with Consumer(connection.channel(), [QUEUE], callbacks=[lambda body, message: (got.append(body), message.ack())]):
        connect().channel().queue_delete("work")
        wait_for(lambda: _publishes(channel), what="a stream takes it again")
        connection.drain_events(timeout=20)

    assert got == ["after"]


def _publishes(channel) -> bool:
    QUEUE(channel).declare()
    Producer(channel).publish("after", exchange="work", routing_key="work")
    return True


def test_tls_verifies_the_server_and_carries_messages(tmp_path):
    authority, certificate, key = _certificates(tmp_path)
    port = free_port()
    configuration = tmp_path / "nats.conf"
    configuration.write_text(
        f"listen: 127.0.0.1:{port}\njetstream {{ store_dir: {tmp_path}/data }}\n"
        f"tls {{ cert_file: {certificate}, key_file: {key} }}\n"
    )
    command = [find_nats_server(), "--config", configuration]
    with Process(command, name="nats-tls", environment={"PATH": os.defpath}) as server:
        wait_for(lambda: "Server is ready" in server.log)
        with Connection(f"tls://127.0.0.1:{port}/t?tls_ca={authority}") as connection:
            QUEUE(connection.default_channel).declare()
            Producer(connection.default_channel).publish("secret", exchange="work", routing_key="work")
            assert connection.default_channel.basic_get("work", no_ack=True).payload == "secret"
        assert "certificate verify failed" in _fault(f"tls://127.0.0.1:{port}/t")


def _certificates(folder):
    """A self-signed certificate for 127.0.0.1, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "cert.pem", folder / "key.pem"
