"""Calls of adopted tasks: what becomes of them in the ledger, and what their callers get back."""

import datetime
import decimal
import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.exceptions import NotRegistered, QueueNotFound, TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult
from kombu.exceptions import EncodeError, OperationalError

from app.clock import utcnow
from taskledger_sdk.celery import NotAdopted, NotJson, adopt
from taskledger_sdk.celery.current import running
from tests.integration.adoption.conftest import Declined

CALLERS = 16

MOMENT = datetime.datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_a_call_is_a_task_that_a_worker_runs(shop, worker):
    result = shop.add.delay(2, 3)

    assert result.get(timeout=20) == 5
    assert (result.state, result.successful(), result.ready()) == ("SUCCESS", True, True)


def test_the_id_of_a_result_is_that_of_the_task(shop, declared, stored):
    result = shop.add.delay(2, 3)

    assert [str(row.id) for row in stored()] == [result.id]


def test_values_arrive_as_kombu_writes_them(shop, worker):
    said = {"at": MOMENT, "price": decimal.Decimal("1.50"), "of": uuid.UUID(int=7), "raw": b"\xff\x00", "many": (1, 2)}

    args, kwargs = shop.echo.delay(MOMENT.date(), **said).get(timeout=20)

    assert (args, kwargs) == ([MOMENT.date()], {**said, "many": [1, 2]})


@pytest.mark.parametrize(
    ("argument", "words"),
    [({1, 2}, "argument 1 is a set"), (object(), "argument 1 is of the type object"), ([1, {"a": 1j}], "argument 1")],
    ids=["a set", "an object", "deep inside"],
)
def test_what_json_does_not_have_is_refused_by_its_place(shop, declared, stored, argument, words):
    with pytest.raises(NotJson, match=words) as raised:
        shop.echo.delay(argument)

    assert isinstance(raised.value, EncodeError)
    assert stored() == []


def test_a_task_that_nobody_has_declared_says_what_to_start(shop, api_url):
    with pytest.raises(NotRegistered, match="celery -A shop ledger"):
        shop.add.delay(1)


def test_a_ledger_that_is_away_is_an_operational_error(admin):
    app = Celery("away", broker="memory://", set_as_current=False)
    adopt(app, url="http://127.0.0.1:9", api_key=admin.key, retry_seconds=0)

    with pytest.raises(OperationalError):
        app.send_task("away.add", (1, 2))


def test_an_error_is_restored_with_its_class_and_arguments(shop, worker):
    result = shop.decline.delay()

    with pytest.raises(Declined) as raised:
        result.get(timeout=20)
    assert raised.value.args == ("no funds", 17)
    assert (result.state, result.failed()) == ("FAILURE", True)
    assert isinstance(result.result, Declined)


def test_an_unknown_id_is_pending(shop):
    for id_ in (str(uuid.uuid4()), "import-7", "01a226aa-bc40-7e02-b492-d11d05ed6649"):
        assert shop.app.AsyncResult(id_).state == "PENDING"


def test_a_wait_that_is_too_long_is_a_timeout(shop, declared):
    with pytest.raises(CeleryTimeout):
        shop.add.delay(1).get(timeout=0.05)


def test_a_custom_state_shows_while_the_task_runs(shop, worker):
    result = shop.slowly.delay()
    assert shop.telling.told.wait(20)

    seen = (result.state, result.info)
    shop.telling.may_end.set()

    assert seen == ("PROGRESS", {"current": 1, "total": 4})
    assert result.get(timeout=20) is None


def test_a_chosen_id_that_the_ledger_does_not_take_is_found_again(shop, worker):
    id_ = "import-7"

    shop.add.apply_async((1, 2), task_id=id_)

    assert AsyncResult(id_, app=shop.app).get(timeout=20) == 3
    another_process = adopt(
        Celery("shop", broker="memory://", set_as_current=False),
        url=shop.app._taskledger.settings.url,
        api_key=shop.app._taskledger.settings.api_key,
    )
    assert another_process.AsyncResult(id_).get(timeout=20) == 3
    assert worker.options[0]["id"] == id_


@pytest.mark.parametrize("said", ["countdown", "eta", "naive", "local", "text"])
def test_a_start_is_a_moment_in_the_ledger(shop, declared, stored, said):
    shop.app.conf.timezone = "America/Lima"
    shop.app.conf.enable_utc = said != "local"
    start = (utcnow() + timedelta(seconds=600)).replace(microsecond=0)
    etas = {
        "eta": start,
        "naive": start.replace(tzinfo=None),
        "local": start.astimezone(ZoneInfo("America/Lima")).replace(tzinfo=None),
        "text": start.isoformat(),
    }

    shop.add.apply_async((1,), **({"countdown": 600} if said == "countdown" else {"eta": etas[said]}))

    [row] = stored()
    assert row.status == "SCHEDULED"
    assert abs(row.scheduled_at - start) < timedelta(seconds=3)


def test_an_expiry_is_a_moment_in_the_ledger(shop, declared, stored):
    shop.add.apply_async((1,), expires=60)

    [row] = stored()
    assert abs(row.expires_at - utcnow() - timedelta(seconds=60)) < timedelta(seconds=3)


def test_what_has_expired_already_is_not_submitted(shop, declared, stored, caplog):
    result = shop.add.apply_async((1,), expires=utcnow() - timedelta(seconds=5))

    assert (stored(), result.state) == ([], "REVOKED")
    assert "has expired before it could start" in caplog.text


@pytest.mark.parametrize(
    ("broker", "number", "priority"),
    [
        ("amqp://", 9, "high"),
        ("amqp://", 5, "normal"),
        ("amqp://", 0, "low"),
        ("redis://", 0, "high"),
        ("redis://", 9, "low"),
    ],
)
def test_a_priority_means_what_the_broker_of_the_application_means_by_it(
    shop, declared, stored, broker, number, priority
):
    shop.app.conf.broker_url = broker

    shop.add.apply_async((1,), priority=number)

    assert [row.priority for row in stored()] == [priority]


def test_ignored_options_are_said_once(shop, declared, caplog):
    with caplog.at_level(logging.WARNING, "taskledger_sdk.celery"):
        for _ in range(3):
            shop.add.apply_async((1,), exchange="x", compression="zlib")

    said = [record.message.split()[2] for record in caplog.records if "is ignored" in record.message]
    assert sorted(said) == ["compression", "exchange"]


def test_another_queue_for_a_retry_is_ignored_and_said_once(shop, caplog):
    asked = []
    attempt = SimpleNamespace(id="17", ask_for_retry=lambda args, kwargs, options: asked.append(args))
    token = running.set(attempt)
    try:
        for _ in range(3):
            shop.app.send_task("shop.add", (1,), task_id="17", retries=1, queue="slow")
    finally:
        running.reset(token)

    assert asked == [(1,)] * 3
    assert [each.message for each in caplog.records] == [
        "shop.add: self.retry(queue=…) is ignored: a task keeps the queue that it was submitted to."
    ]


def test_headers_travel_with_the_call(shop, worker):
    shop.add.apply_async((1,), headers={"tenant": "acme"}).get(timeout=20)

    assert worker.options[0]["headers"] == {"tenant": "acme"}


def test_large_headers_are_refused(shop, declared):
    with pytest.raises(NotJson, match="4096 bytes"):
        shop.add.apply_async((1,), headers={"x": "y" * 5_000})


def test_a_queue_that_the_application_does_not_name_is_refused_with_those_that_it_does(shop, declared):
    shop.app.conf.task_routes = {"shop.total": {"queue": "sums"}}

    with pytest.raises(QueueNotFound, match=r"'nowhere' is not known; the application names celery, sums"):
        shop.add.apply_async((1,), queue="nowhere")


def test_a_routed_task_is_of_its_plain_type(shop, declared, stored):
    shop.app.conf.task_routes = {"shop.*": {"queue": "sums"}}

    shop.add.delay(1)

    assert [row.type for row in stored()] == ["shop.add"]


@pytest.mark.parametrize(
    ("routes", "said", "priority"),
    [
        ({"shop.*": {"priority": 9}}, {}, "high"),
        (lambda *_, **__: {"queue": "celery", "priority": 9}, {}, "high"),
        ({"shop.*": {"priority": 9}}, {"priority": 0}, "low"),
        ({"shop.total": {"priority": 9}}, {}, "normal"),
        ({"shop.*": "celery"}, {}, "normal"),
    ],
    ids=["a pattern", "a function", "the call wins", "of another task", "a queue only"],
)
def test_a_route_may_say_the_priority(shop, declared, stored, routes, said, priority):
    shop.app.conf.task_routes = routes if isinstance(routes, dict) else (routes,)

    shop.add.apply_async((1,), **said)

    assert [row.priority for row in stored()] == [priority]


def test_a_queue_that_no_worker_serves_is_left_to_those_of_the_tasks_own(shop, declared, stored, caplog):
    shop.app.conf.task_routes = {"shop.total": {"queue": "sums"}}

    for _ in range(2):
        shop.add.apply_async((1,), queue="sums")

    assert [row.type for row in stored()] == ["shop.add", "shop.add"]
    assert caplog.text.count("No worker serves shop.add on the queue sums") == 1


def test_many_threads_may_find_out_at_once_that_no_worker_serves_a_queue(shop, declared, stored):
    shop.app.conf.task_routes = {"shop.total": {"queue": "sums"}}
    ready = threading.Barrier(CALLERS)

    def call(number):
        ready.wait()
        shop.add.apply_async((number,), queue="sums")

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(call, range(CALLERS)))

    assert [row.type for row in stored()] == ["shop.add"] * CALLERS


def test_a_task_is_called_by_its_name(shop, worker):
    assert shop.app.send_task("shop.add", [1, 2]).get(timeout=20) == 3


def test_signatures_and_shared_calls_are_caught(shop, worker):
    assert shop.app.signature("shop.add", args=(1,)).delay(4).get(timeout=20) == 5
    assert shop.add.s(1).apply_async((2,)).get(timeout=20) == 3


def test_revoke_cancels_what_waits(shop, declared, stored):
    result = shop.add.delay(1)

    result.revoke()

    assert [row.status for row in stored()] == ["CANCELLED"]
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)


def test_revoke_lets_go_on_what_runs_and_terminate_asks_it_to_stop(shop, worker, stored):
    result = shop.slowly.delay()
    assert shop.telling.told.wait(20)

    result.revoke()
    [before] = stored()
    shop.app.control.revoke([result.id], terminate=True)
    [after] = stored()
    state = result.state
    shop.telling.may_end.set()

    assert (before.cancel_requested_at, after.status) == (None, "PROCESSING")
    assert after.cancel_requested_at is not None
    assert state == "ABORTED"


def test_revoking_by_headers_is_refused_as_nobody_would_hear_it(shop):
    with pytest.raises(NotAdopted, match="by their ids"):
        shop.app.AsyncResult("x").revoke_by_stamped_headers({"tenant": ["acme"]})


def test_eager_calls_never_reach_the_ledger(shop, declared, stored):
    shop.app.conf.task_always_eager = True

    assert shop.add.delay(1, 2).get() == 3
    assert (shop.add.s(1, 2) | shop.add.s(3)).delay().get() == 6
    assert stored() == []


def test_with_the_switch_off_calls_go_to_the_broker(admin, api_url, stored):
    app = Celery("off", broker="memory://", backend="cache+memory://", set_as_current=False)
    adopt(app, url=api_url, api_key=admin.key, enabled=False)

    app.send_task("off.add", (1,))

    assert stored() == []
    assert type(app.backend).__name__ == "CacheBackend"


def test_settings_may_stand_in_the_configuration(admin, api_url):
    app = Celery("conf", broker="memory://", set_as_current=False)
    app.config_from_object(
        {"CELERY_TASKLEDGER_URL": api_url, "CELERY_TASKLEDGER_API_KEY": admin.key}, namespace="CELERY"
    )
    adopt(app)

    assert app._taskledger.settings.url == api_url
    assert app.AsyncResult("nobody").state == "PENDING"


def test_an_application_is_adopted_once(shop):
    with pytest.raises(TypeError, match="before"):
        adopt(shop.app)


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match="'adress'"):
        adopt(Celery("typo", set_as_current=False), adress="x")


def test_a_result_that_is_waited_for_within_a_task_is_the_same_error_as_in_celery(shop, declared):
    from celery.result import allow_join_result, denied_join_result

    result = shop.add.delay(1)
    with denied_join_result():
        with pytest.raises(RuntimeError, match="Never call"):
            result.get(timeout=1)
        with allow_join_result(), pytest.raises(CeleryTimeout):
            result.get(timeout=0.05)


def test_replacing_a_task_is_refused_with_what_to_write(shop, declared):
    with pytest.raises(NotAdopted, match="call the other"):
        shop.add.apply_async((1,), replaced_task_nesting=1)
