"""client.signal() and what belongs to it: what is asked, and what becomes of the answer; both clients alike."""

import asyncio
from uuid import UUID

import pytest
from fake_submissions import MOMENT, task_of

from taskledger_sdk.client import AsyncClient, Client, Conflict, Signal, TaskStep

ID = "018f3c5e-7d2a-7000-8000-0123456789ab"
TASK = task_of({"id": ID, "type": "greet", "payload": "hello"})
SENT = {
    "id": 7,
    "name": "approved",
    "data": {"ok": True},
    "sent_by": ID,
    "at": MOMENT,
    "taken_by": None,
    "taken_at": None,
}
STEP = {
    "name": "charge", "kind": "once", "state": "DONE", "result": 5, "error": None, "child_id": None,
    "wakes_at": None, "ended_at": MOMENT,
}  # fmt: skip


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request, service, home):
    """Call a method of a client by its name; lists are read to their end."""

    def blocking(name, *given, **options):
        with Client(service.url, "tl_test", retry_seconds=3) as client:
            answer = getattr(client, name)(*given, **options)
            return list(answer) if name in ("signals", "steps") else answer

    def asynchronous(name, *given, **options):
        async def called():
            async with AsyncClient(service.url, "tl_test", retry_seconds=3) as client:
                answer = getattr(client, name)(*given, **options)
                return [each async for each in answer] if name in ("signals", "steps") else await answer

        return asyncio.run(called())

    return blocking if request.param == "blocking" else asynchronous


@pytest.mark.parametrize(("method", "kind"), [("signal", "tasks"), ("signal_run", "runs")])
def test_a_signal_is_sent_with_its_data_and_a_key(call, service, method, kind):
    service.answer("POST", f"/{kind}/{ID}/signals/approved", SENT, status=201)

    sent = call(method, ID, "approved", {"ok": True})

    [request] = service.requests
    assert request.body == {"data": {"ok": True}}
    assert request.headers["idempotency-key"]
    assert (sent.id, sent.name, sent.data, sent.sent_by, sent.taken_by) == (7, "approved", {"ok": True}, UUID(ID), None)
    assert isinstance(sent, Signal)


def test_it_is_repeated_with_the_same_key_until_it_is_answered(call, service):
    service.refuse("POST", f"/tasks/{ID}/signals/approved", 503, "unavailable", "Soon.")
    service.answer("POST", f"/tasks/{ID}/signals/approved", SENT, status=201)

    call("signal", ID, "approved")

    assert len({request.headers["idempotency-key"] for request in service.requests}) == 1
    assert [request.body for request in service.requests] == [{"data": None}] * 2


def test_a_key_of_ones_own_is_sent(call, service):
    service.answer("POST", f"/tasks/{ID}/signals/approved", SENT, status=200)

    call("signal", ID, "approved", key="answer-17")

    assert service.requests[0].headers["idempotency-key"] == "answer-17"


def test_what_has_ended_is_a_conflict(call, service):
    service.refuse("POST", f"/tasks/{ID}/signals/approved", 409, "wrong_status", "The task is COMPLETED.")

    with pytest.raises(Conflict, match="COMPLETED"):
        call("signal", ID, "approved")


def test_signals_and_steps_are_read_page_by_page(call, service):
    service.answer("GET", f"/tasks/{ID}/signals", {"items": [SENT], "next": "more"})
    service.answer("GET", f"/tasks/{ID}/signals", {"items": [{**SENT, "id": 6}], "next": None})
    service.answer("GET", f"/tasks/{ID}/steps", {"items": [STEP], "next": None})

    assert [each.id for each in call("signals", ID)] == [7, 6]
    [step] = call("steps", ID)
    assert isinstance(step, TaskStep)
    assert (step.name, step.result) == ("charge", 5)


def test_a_replay_may_be_fresh(call, service):
    service.answer("POST", f"/tasks/{ID}/retry", TASK)

    call("retry", ID, fresh=True)

    assert service.requests[0].body == {"fresh": True}
