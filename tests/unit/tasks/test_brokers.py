"""The table of brokers, and what their URLs hold."""

import pytest
from kombu import Connection

from tasks import topology, transports
from tasks.brokers import (
    BY_SCHEME,
    NATS,
    RABBITMQ,
    RABBITMQ_QUORUM,
    REDIS,
    broker_of,
    hosts_of,
    passwords_of,
    url_for_kombu,
)


@pytest.mark.parametrize(
    ("url", "queue_type", "expected"),
    [
        ("amqp://mq", "classic", RABBITMQ),
        ("amqp://mq", "quorum", RABBITMQ_QUORUM),
        ("amqp://one;amqp://two", "classic", RABBITMQ),
        ("redis://mq", "quorum", REDIS),
        ("nats://one,two", "quorum", NATS),
        ("nats://one,[::1]:4223", "classic", NATS),
    ],
)
def test_the_scheme_and_the_queue_type_choose_the_row(url, queue_type, expected):
    assert broker_of(url, queue_type=queue_type) is expected


@pytest.mark.parametrize("url", ["kafka://mq", "mq", "amqp://one;redis://two"])
def test_other_schemes_and_mixed_ones_are_refused(url):
    with pytest.raises(ValueError, match=r"no broker is known|different brokers"):
        broker_of(url)


@pytest.mark.parametrize("broker", [*BY_SCHEME.values(), RABBITMQ_QUORUM], ids=lambda each: each.name)
def test_every_broker_has_a_number_for_every_priority(broker):
    assert set(broker.priorities) == {"boosted", "high", "normal", "low"}
    assert len(set(broker.priorities.values())) == 4


def test_quorum_queues_are_declared_without_what_rabbitmq_refuses_for_them():
    assert "x-max-priority" not in RABBITMQ_QUORUM.queue_arguments
    assert RABBITMQ_QUORUM.queue_arguments["x-queue-type"] == "quorum"


def test_every_host_of_a_url_is_found():
    assert hosts_of("nats://u:p@one:1,two/space;nats://three") == [
        "nats://u:p@one:1/space",
        "nats://two/space",
        "nats://three",
    ]
    assert hosts_of("amqp://u:a,b@one//;amqp://two//") == ["amqp://u:a,b@one//", "amqp://two//"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://u:p@one:1,[::1]:2/space?a=1", "nats://u:p@one:1/space?a=1;nats://u:p@[::1]:2/space?a=1"),
        ("nats://[::1],u:p@two;nats://three", "nats://[::1];nats://u:p@two;nats://three"),
        ("nats://[::1],two", "nats://[::1];nats://two"),
        ("nats://u:p@one,two", "nats://u:p@one,two"),
        ("amqp://u:p@[::1]//;amqp://two//", "amqp://u:p@[::1]//;amqp://two//"),
    ],
)
def test_kombu_can_read_each_host_of_a_url_whatever_python_makes_of_them_together(url, expected):
    transports.register()
    said = url_for_kombu(url)

    assert said == expected
    assert Connection(said).alt == ([] if ";" not in said else said.split(";"))


def test_passwords_and_tokens_are_found_on_every_host():
    assert passwords_of("nats://u:first@one,v:second@two;nats://token@three") == {"first", "second", "token"}
    assert passwords_of("amqp://user@one;amqp://u:secret@two") == {"secret"}
    assert passwords_of("amqp://[::1") == set()


def test_the_definitions_for_operators_say_what_the_programs_declare():
    made = topology.definitions(vhost="/v", queue_type="quorum", names=["tasks", "reports"])

    assert [queue["name"] for queue in made["queues"]] == ["tasks", "reports", "tasks.dead"]
    assert made["queues"][0]["arguments"] == dict(RABBITMQ_QUORUM.queue_arguments)
    assert {exchange["name"] for exchange in made["exchanges"]} == {"tasks", "dlx"}
    assert ("dlx", "tasks.dead", "failed") in {
        (each["source"], each["destination"], each["routing_key"]) for each in made["bindings"]
    }
