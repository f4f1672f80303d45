"""A broker that hangs, or takes nothing: submissions do not notice. Messages that are no hints: nobody minds them."""

import json
import pickle
import time
from uuid import uuid4

import pytest
from kombu import Connection

from tests.chaos.evidence import assert_report_clean
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.chaos

SUBMISSIONS = 60
MAX_SECONDS = 0.5


@pytest.mark.parametrize("trouble", ["hung", "in memory alarm"])
def test_submissions_answer_within_500_ms_while_the_broker_is(trouble, short_stack, rabbitmq, ledger):
    short_stack.wait_until("COMPLETED", [short_stack.submit("reverse_string", "connections are open")])
    if trouble == "hung":
        rabbitmq.pause()
        try:
            timed = _submissions(short_stack)
        finally:
            rabbitmq.resume()
    else:
        with rabbitmq.memory_alarm():
            timed = _submissions(short_stack)

    took = sorted(seconds for _, seconds in timed)
    ledger.note(
        f"broker {trouble}: {len(took)} submissions over {sum(took) + SUBMISSIONS * 0.1:.0f} s, "
        f"median {took[len(took) // 2] * 1000:.0f} ms, slowest {took[-1] * 1000:.0f} ms"
    )
    assert took[-1] < MAX_SECONDS
    with ledger.timed("until all of them are COMPLETED"):
        short_stack.wait_until("COMPLETED", [task_id for task_id, _ in timed], timeout=30)


def _submissions(stack) -> list[tuple[str, float]]:
    """One each tenth of a second: longer than a publisher waits before it gives a broker up."""
    timed = []
    for number in range(SUBMISSIONS):
        began = time.perf_counter()
        timed.append((stack.submit("uppercase_text", f"number {number}"), time.perf_counter() - began))
        time.sleep(0.1)
    return timed


def test_what_is_no_hint_lands_among_the_dead_letters_with_a_reason_and_ends_no_worker(short_stack, ledger):
    stack, worker = short_stack, short_stack.worker.pid
    children = short_stack.worker.child_pids()
    assert stack.broker.queue("tasks.dead").ready == 0  # a worker has made it
    foreign = {
        "not JSON": (b"{broken", {"content_type": "application/json", "content_encoding": "utf-8"}, {}),
        "pickled": (pickle.dumps({"a": 1}), {"content_type": "application/x-python-serialize"}, {}),
        "no Celery message": (b'{"hello": 1}', {"content_type": "application/json"}, {}),
        "unknown type": _celery_message("no_such_type", [str(uuid4())]),
        "ids that are none": _celery_message("reverse_string", ["not-an-id"]),
        "arguments of another shape": _celery_message("reverse_string", {"ids": 7}),
        "a number for an id": _celery_message("reverse_string", [7]),
        "unknown encoding": (b"\xff\xfe", {"content_type": "text/plain", "content_encoding": "klingon"}, {}),
        "empty": (b"", {}, {}),
    }
    with Connection(stack.broker.url) as connection:
        channel = connection.default_channel
        for body, properties, headers in foreign.values():
            message = channel.prepare_message(body, priority=3, headers=headers, **properties)
            channel.basic_publish(message, exchange="tasks", routing_key="tasks")

    after = [stack.submit("uppercase_text", f"behind {number}") for number in range(20)]
    stack.wait_until("COMPLETED", after, timeout=15)
    wait_for(lambda: stack.broker.queue("tasks.dead").ready >= len(foreign), timeout=10, what="all are dead letters")

    letters = _dead_letters(stack)
    for reason, shown in letters:
        ledger.note(f"dead letter: {reason} | {shown}")
    assert len(letters) == len(foreign)
    assert all(reason and reason != "rejected" for reason, _ in letters)
    assert stack.broker.queue().ready == 0
    assert stack.worker.pid == worker
    assert stack.worker.is_running
    assert stack.worker.child_pids() == children
    assert_report_clean(stack, ledger)


def _celery_message(type_: str, args: object) -> tuple[bytes, dict[str, str], dict[str, object]]:
    body = json.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()
    properties = {"content_type": "application/json", "content_encoding": "utf-8"}
    return body, properties, {"id": str(uuid4()), "task": type_, "lang": "py"}


def _dead_letters(stack) -> list[tuple[str, str]]:
    """Each message's reason: ours in a header, the broker's own in x-death."""
    letters = []
    with Connection(stack.broker.url) as connection:
        channel = connection.default_channel
        while (message := channel.basic_get("tasks.dead", no_ack=True)) is not None:
            headers = message.headers or {}
            reason = headers.get("x-reason") or ", ".join(death["reason"] for death in headers.get("x-death", ()))
            letters.append((reason, str(message.body)[:90]))
    return letters
