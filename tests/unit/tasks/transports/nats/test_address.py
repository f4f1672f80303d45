"""What the URL of a NATS server may say."""

import pytest

from tasks.transports.nats.address import Options, Server, masked, parse


def test_one_url_may_name_several_hosts_that_share_credentials():
    address = parse(["nats://user:p%40ss@one:4223,two,[::1]:4224/space?ack_wait=5&max_deliveries=3"])

    assert address.servers == (
        Server(host="one", port=4223, user="user", password="p@ss"),
        Server(host="two", user="user", password="p@ss"),
        Server(host="::1", port=4224, user="user", password="p@ss"),
    )
    assert (address.namespace, address.is_tls) == ("space", False)
    assert address.options == Options(ack_wait=5.0, max_deliveries=3)


def test_several_urls_are_one_address():
    address = parse(["nats://a:secret-a@one", "nats://b:secret-b@two/space"])

    assert [(server.host, server.user, server.password) for server in address.servers] == [
        ("one", "a", "secret-a"),
        ("two", "b", "secret-b"),
    ]
    assert address.namespace == "space"


def test_a_user_without_a_password_is_a_token_for_whoever_connects():
    [server] = parse(["nats://token@one"]).servers

    assert (server.user, server.password) == ("token", None)


def test_tls_verifies_the_server():
    context = parse(["tls://one"]).tls_context()

    assert context is not None
    assert context.check_hostname


def test_without_tls_there_is_no_context():
    assert parse(["nats://one"]).tls_context() is None


def test_the_url_wins_over_transport_options_and_foreign_ones_are_passed_over():
    options = parse(["nats://one?ack_wait=5"], {"ack_wait": 7, "replicas": 3, "confirm_publish": True}).options

    assert (options.ack_wait, options.replicas) == (5.0, 3)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nats://", "names no host"),
        ("nats://one:port", "Port could not be cast|nonnumeric port"),
        ("nats://one?ackwait=5", "unknown option 'ackwait'.*ack_wait"),
        ("nats://one?ack_wait=soon", "ack_wait must be a float"),
        ("nats://one?ack_wait=0", "ack_wait must be above 0"),
        ("nats://one?storage=paper", "file or memory"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(url, message):
    with pytest.raises(ValueError, match=message):
        parse([url])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://one:4222/space", "nats://one:4222/space"),
        ("nats://user:secret@one", "nats://user:**@one"),
        ("nats://token@one", "nats://**@one"),
        (
            "nats://user:sec@ret@one,other:secret@two/space?ack_wait=5",
            "nats://user:**@one,other:**@two/space?ack_wait=5",
        ),
    ],
)
def test_no_password_is_shown(url, expected):
    assert masked(url) == expected
