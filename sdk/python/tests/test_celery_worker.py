"""The pieces of `celery -A proj ledger` that need neither a service nor a pool."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import jsonschema_rs
import pytest
from celery import Celery, Task
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject

from taskledger_sdk.celery import ids, meta, payloads
from taskledger_sdk.celery.current import running
from taskledger_sdk.celery.worker import backend, child, refusals, types
from taskledger_sdk.celery.worker.attempts import Attempt, ReceivedRequest
from taskledger_sdk.celery.worker.calls import Call, Kept, request_of
from taskledger_sdk.celery.worker.declaring import Declaring, OtherApplication, _either
from taskledger_sdk.celery.worker.options import autoscale_of
from taskledger_sdk.celery.worker.pace import Pace
from taskledger_sdk.celery.worker.running import MAX_REQUEUES, RunningAttempt
from taskledger_sdk.http.calls import Answer
from taskledger_sdk.http.errors import Conflict

TASK_ID = "01900000-0000-7000-8000-000000000001"


class Application(Celery):
    """Its tasks are its own: those of other tests have the same names."""

    def task(self, *functions, **options):
        return super().task(*functions, **{**options, "shared": False})


@pytest.fixture
def app():
    made = Application("shop", set_as_current=False, broker="memory://", backend="cache+memory://")
    made.conf.timezone = "Europe/Berlin"
    return made


def payload(*args, **kwargs):
    return payloads.encode_call(args, kwargs)


def accepts(task, *args, **kwargs):
    return jsonschema_rs.validator_for(types.schema_of(task)).is_valid(payload(*args, **kwargs))


class TestSignatures:
    def test_arguments_are_needed_once_by_place_or_by_name(self, app):
        @app.task
        def task(a, b, c=3): ...

        assert accepts(task, 1, 2)
        assert accepts(task, 1, b=2, c=4)
        assert accepts(task, a=1, b=2)
        assert not accepts(task, 1)
        assert not accepts(task, 1, 2, 3, 4)
        assert not accepts(task, 1, 2, d=4)
        assert not accepts(task, 1, 2, a=1)

    def test_self_of_a_bound_task_is_none_of_them(self, app):
        @app.task(bind=True)
        def task(self, a): ...

        assert accepts(task, 1)
        assert not accepts(task)

    def test_stars_take_anything(self, app):
        @app.task
        def task(first, *rest, only, **more): ...

        assert accepts(task, 1, 2, 3, only=4, other=5)
        assert not accepts(task, 1, other=5)

    def test_a_task_that_does_not_check_them_takes_all(self, app):
        @app.task(typing=False)
        def task(a): ...

        assert accepts(task, 1, 2, b=3)

    def test_autoretry_leaves_the_signature(self, app):
        @app.task(autoretry_for=(ValueError,))
        def task(a): ...

        assert not accepts(task)

    def test_a_class_is_looked_at_in_its_run(self, app):
        class ByClass(Task):
            name = "by_class"

            def run(self, a, b=1): ...

        assert accepts(app.register_task(ByClass()), 1)


class TestTypes:
    def test_a_task_is_declared_with_what_celery_knows_of_it(self, app):
        @app.task(name="shop.tasks.sendMail", time_limit=30, rate_limit="10/m")
        def send(to):
            """Send a mail.

            And more.
            """

        found = types.adopted_types(app)["shop.tasks.sendMail"]

        said = found.declaration
        assert (said["summary"], said["timeout"], said["rate"]) == ("Send a mail.", 30, "10/min")
        assert said["retry"]["max_retries"] == types.LOST_RETRIES
        assert (found.queue, found.lost_fails) == ("celery", False)

    def test_celerys_own_tasks_are_left_out(self, app):
        assert [name for name in types.adopted_types(app) if name.startswith("shop:")] == [
            "shop:celery.map",
            "shop:celery.starmap",
        ]

    def test_calls_to_another_queue_are_of_another_type(self, app):
        @app.task(name="add")
        def add(): ...

        found = types.adopted_types(app, queues=["mails"])

        assert {each.queue for each in found.values() if each.task == "add"} == {"celery", "mails"}

    @pytest.mark.parametrize(
        ("said", "written"),
        [("100/s", "100/s"), ("10/m", "10/min"), (5, "5/s"), ("1/h", "1/h"), (0.5, "30/min"), (None, None), (0, None)],
    )
    def test_rates_are_written_as_the_ledger_does(self, said, written):
        assert types.rate_of(said) == written

    def test_who_wants_it_at_most_once_says_so(self, app):
        @app.task(name="pay", taskledger_lost="fail")
        def pay(): ...

        found = types.adopted_types(app)["pay"]

        assert (found.lost_fails, found.declaration["retry"]["max_retries"]) == (True, 0)

    def test_another_word_is_refused(self, app):
        app.conf.taskledger_lost = "perhaps"

        with pytest.raises(ValueError, match="'again' or 'fail'"):
            types.adopted_types(app)


def call_of(task, *args, kept=None, attempt=1, options=None, **kwargs):
    said = payloads.encode_call(args, kwargs, options)
    return Call(TASK_ID, "lease", task.name, said, attempt, kept, "worker@host", "celery", 0)


def traced(app, task, *args, **said):
    """How an attempt ended, as it is sent; without the hook of a producer, which the tests of adopt() have."""
    backend.install(app)
    call = call_of(task, *args, **said)
    called = payloads.decode_call(call.payload)
    request = request_of(call, called, task)
    attempt = RunningAttempt(app, task, call, called, request["id"])
    token = running.set(attempt)
    try:
        tracer = build_tracer(task.name, task, app.loader, "worker@host", app=app)
        result, info, _, _ = tracer(request["id"], called.args, called.kwargs, request)
        ended = attempt.ended(info, result)
    finally:
        running.reset(token)
    return ended, json.loads(ended.content)


class TestAttempts:
    @pytest.fixture(autouse=True)
    def _hook(self, app):
        """What adopt() puts in place of send_task."""
        app.send_task = lambda name, args=None, kwargs=None, **options: running.get().ask_for_retry(
            args, kwargs, options
        )

    def test_a_result_is_written_as_kombu_does(self, app):
        @app.task
        def task():
            return datetime(2026, 1, 2, tzinfo=UTC)

        _, said = traced(app, task)

        assert (said["outcome"], said["result"]["__type__"]) == ("complete", "datetime")

    def test_what_is_no_json_is_a_failure_of_the_tracer(self, app):
        @app.task
        def task():
            return {1}

        _, said = traced(app, task)

        assert (said["outcome"], said["permanent"]) == ("fail", True)
        assert "the result is a set" in said["message"]

    def test_an_ignored_result_is_not_kept(self, app):
        @app.task(ignore_result=True)
        def task():
            return 5

        assert traced(app, task)[1]["result"] is None

    def test_an_ignored_result_that_a_later_task_takes_is_kept(self, app):
        @app.task(ignore_result=True)
        def task():
            return 5

        assert traced(app, task, options={"passes_on": True})[1]["result"] == 5

    def test_celery_decides_that_no_retry_follows(self, app):
        @app.task
        def task():
            raise ValueError("broken")

        _, said = traced(app, task, kept=Kept(retries=2).as_json())

        assert (said["type"], said["message"], said["permanent"]) == ("ValueError", "broken", True)
        assert said["checkpoint"] == {}, "a replay begins anew"
        assert "in task" in said["traceback"]

    def test_a_retry_is_counted_and_keeps_its_arguments(self, app):
        @app.task(bind=True)
        def task(self, number):
            raise self.retry(countdown=7, exc=OSError("away"))

        _, said = traced(app, task, 3, kept=Kept(retries=1, attempt=2).as_json(), attempt=3)

        assert (said["outcome"], said["type"], said["retry_in"]) == ("retry", "OSError", 7)
        assert said["checkpoint"] == {"retries": 2, "requeues": 0, "attempt": 3}
        assert "payload" not in said

    def test_other_arguments_make_another_payload(self, app):
        @app.task(bind=True)
        def task(self, number, note=None):
            raise self.retry(args=(4,), kwargs={"note": "x"}, countdown=0)

        assert traced(app, task, 3)[1]["payload"] == {"args": [4], "kwargs": {"note": "x"}}

    def test_an_eta_is_a_pause(self, app):
        @app.task(bind=True)
        def task(self):
            raise self.retry(eta=datetime.now(app.timezone) + timedelta(seconds=60))

        assert 55 < traced(app, task)[1]["retry_in"] <= 60

    def test_an_eta_without_a_zone_is_in_utc(self, app):
        @app.task(bind=True)
        def task(self):
            raise self.retry(eta=datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=60))

        assert 55 < traced(app, task)[1]["retry_in"] <= 60

    def test_a_retry_that_is_not_raised_is_a_failure(self, app):
        @app.task(bind=True)
        def task(self):
            self.retry(throw=False)
            return 1

        _, said = traced(app, task)

        assert (said["outcome"], said["type"]) == ("fail", "RetryNotRaised")
        assert "raise self.retry" in said["message"]

    def test_an_ignored_task_is_complete(self, app):
        @app.task
        def task():
            raise Ignore

        assert traced(app, task)[1]["reason"] == "ignored"

    def test_a_rejected_task_is_a_dead_letter(self, app):
        @app.task
        def task():
            raise Reject("no use", requeue=False)

        _, said = traced(app, task)

        failure = payloads.Failure(type=said["type"], message=said["message"])
        assert (said["outcome"], payloads.message_of(failure)) == ("fail", "no use")
        assert payloads.exception_parts(failure) == {
            "exc_type": "Reject",
            "exc_module": "celery.exceptions",
            "exc_message": ["no use", False],
        }

    def test_a_requeued_task_comes_back_later_and_not_for_ever(self, app):
        @app.task
        def task():
            raise Reject("not now", requeue=True)

        _, said = traced(app, task, kept=Kept(requeues=2).as_json())
        _, last = traced(app, task, kept=Kept(requeues=MAX_REQUEUES).as_json())

        assert (said["outcome"], said["retry_in"], said["checkpoint"]["requeues"]) == ("retry", 4.0, 3)
        assert (last["outcome"], last["permanent"]) == ("fail", True)

    def test_a_requeued_task_is_delivered_again(self, app):
        @app.task
        def task():
            raise Reject("not now", requeue=True)

        _, said = traced(app, task, attempt=2, kept=Kept(retries=1, attempt=1).as_json())
        again = call_of(task, attempt=3, kept=said["checkpoint"])

        assert request_of(again, payloads.decode_call(payload()), task)["delivery_info"]["redelivered"]

    def test_an_error_without_a_text_is_called_by_its_name(self, app):
        @app.task
        def task():
            raise ValueError

        assert traced(app, task)[1]["message"].partition("\n")[0] == "ValueError"

    def test_the_limits_of_a_task_are_those_of_its_request(self, app):
        @app.task(time_limit=60, soft_time_limit=45)
        def task(): ...

        called, said = (
            payloads.decode_call(payload()),
            payloads.decode_call({**payload(), "celery": {"timelimit": [9, 5]}}),
        )

        limits = [request_of(call_of(task), each, task)["timelimit"] for each in (called, said)]
        assert limits == [[60, 45], [9, 5]]

    def test_the_request_that_was_received_has_its_stamps(self, app):
        @app.task
        def task(): ...

        said = {"headers": {"tenant": "acme"}, "stamped_headers": ["tenant"], "group": "g", "group_index": 3}
        call = call_of(task)._replace(payload={**payload(), "celery": said})
        attempt = Attempt(app, None, SimpleNamespace(task=task.name), call)

        received = ReceivedRequest(attempt)

        assert (received.stamps, received.stamped_headers) == ({"tenant": "acme"}, ["tenant"])
        assert (received.group, received.group_index, received.replaced_task_nesting) == ("g", 3, 0)

    def test_a_custom_state_is_told_with_the_end(self, app):
        @app.task(bind=True)
        def task(self):
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})

        ended, _ = traced(app, task)

        assert payloads.read_note(ended.note).state == "PROGRESS"
        assert ended.fraction == 0.5

    def test_a_lost_attempt_makes_the_next_one_redelivered(self, app):
        @app.task
        def task(): ...

        called = payloads.decode_call(payload())
        first, again = call_of(task, attempt=1), call_of(task, attempt=2)
        retried = call_of(task, attempt=2, kept=Kept(retries=1, attempt=1).as_json())

        flags = [request_of(each, called, task)["delivery_info"]["redelivered"] for each in (first, again, retried)]
        assert flags == [False, True, False]


class TestExpiry:
    @pytest.fixture
    def ran(self, app, monkeypatch):
        """Calls `child.run` with the options of a call; whether the task ran, the outcome, and the signals."""
        ran, signalled = [], []
        monkeypatch.setattr(child, "current_app", SimpleNamespace(_get_current_object=lambda: app))
        monkeypatch.setattr("taskledger_sdk.celery.worker.running.signals.task_revoked", SimpleNamespace(
            send=lambda **said: signalled.append((said["request"].id, said["expired"]))
        ))  # fmt: skip

        @app.task(name="add")
        def add():
            ran.append(1)

        backend.install(app)

        def run(**options):
            ended = child.run(call_of(add, options=options)._replace(task_id=str(ids.new_task_id())))
            return bool(ran), json.loads(ended.content), len(signalled)

        return run

    @pytest.mark.parametrize("said", [{"expires": "2020-01-02T03:04:05+00:00"}, {"expires_in": -1.0}])
    def test_a_step_that_has_expired_is_not_run(self, ran, said):
        did_run, told, signals = ran(**said)

        assert (did_run, told["outcome"], told["permanent"], signals) == (False, "fail", True, 1)
        assert told["type"] == meta.EXPIRED

    @pytest.mark.parametrize("said", [{}, {"expires": "2120-01-02T03:04:05+00:00"}, {"expires_in": 60.0}])
    def test_any_other_is_run(self, ran, said):
        did_run, told, signals = ran(**said)

        assert (did_run, told["outcome"], signals) == (True, "complete", 0)


class TestRefusals:
    @pytest.mark.parametrize("pool", ["gevent", "eventlet", "acme:Pool"])
    def test_pools(self, app, pool):
        with pytest.raises(refusals.RefusedApplication, match="--pool"):
            refusals.check(app, pool=pool)

    def test_steps(self, app):
        class Step: ...

        app.steps["consumer"].add(Step)

        with pytest.raises(refusals.RefusedApplication, match="worker_ready"):
            refusals.check(app, pool="prefork")

    @pytest.mark.parametrize("what", ["Request", "Strategy"])
    def test_requests_and_strategies_of_their_own(self, app, what):
        @app.task(name="add")
        def add(): ...

        setattr(add, what, "acme.celery:Own")

        with pytest.raises(refusals.RefusedApplication, match=f"add: a {what} of its own"):
            refusals.check(app, pool="prefork")

    @pytest.mark.parametrize(
        ("module", "words"),
        [("celery_batches", "submit a list"), ("celery_once.tasks", "unique"), ("celery_singleton", "unique")],
    )
    def test_packages_that_need_a_broker_or_redis(self, app, module, words):
        kind = type("Base", (Task,), {"abstract": True, "__module__": module})

        @app.task(base=kind, name="add")
        def add(): ...

        with pytest.raises(refusals.RefusedApplication, match=words):
            refusals.check(app, pool="prefork")

    def test_a_plain_application_is_taken(self, app):
        refusals.check(app, pool="prefork")


class Service:
    """The routes that declaring asks."""

    def __init__(self, known=(), workers=()):
        self.known, self.workers, self.said = list(known), list(workers), []

    def answer(self, call):
        if call.method == "GET":
            items = self.known if call.path == "/task-types" else self.workers
            return Answer(status=200, data={"items": items})
        self.said.append((call.method, call.path, json.loads(call.content or b"null")))
        return Answer(status=200, data={})


def declaring_of(app, service):
    return Declaring(service.answer, types.adopted_types(app), owner="shop", worker="me")


def shown(adopted, **changed):
    said = adopted.declaration
    return {
        "name": adopted.name,
        "remote": True,
        "payload": said["schema"],
        "description": said["description"],
        "limits": {"timeout_seconds": said["timeout"]},
        "rate": said["rate"],
        **changed,
    }


class TestDeclaring:
    @pytest.fixture(autouse=True)
    def _task(self, app):
        @app.task(name="add")
        def add(x, y): ...

    def test_what_is_new_is_declared(self, app):
        service = Service()

        count = declaring_of(app, service).declare()

        assert count == len(types.adopted_types(app))
        assert ("POST", "/task-types") in [said[:2] for said in service.said]

    def test_what_is_known_is_left_alone(self, app):
        service = Service([shown(each) for each in types.adopted_types(app).values()])

        assert declaring_of(app, service).declare() == 0

    def test_two_that_start_at_once_both_succeed(self, app):
        service = Service()
        said = service.answer

        def refusing(call):
            if call.method == "POST":
                raise Conflict({"code": "name_taken"}, 409)
            return said(call)

        Declaring(refusing, types.adopted_types(app), owner="shop", worker="me").declare()

        assert {method for method, _, _ in service.said} == {"PUT"}

    def test_beside_another_version_both_payloads_are_taken(self, app):
        older = {"type": "object"}
        known = [
            shown(each, **({"payload": older} if name == "add" else {}))
            for name, each in types.adopted_types(app).items()
        ]
        service = Service(known, [{"node": "other", "state": "alive", "types": {"add": "hash"}}])

        declaring_of(app, service).declare()

        [(_, _, body)] = service.said
        assert body["schema"]["anyOf"][1] == older

    def test_once_the_other_version_has_gone_its_payloads_are_refused_again(self, app):
        known = [
            shown(each, **({"payload": {"anyOf": [each.declaration["schema"], {}]}} if name == "add" else {}))
            for name, each in types.adopted_types(app).items()
        ]
        service = Service(known)

        declaring_of(app, service).look_after(retire_after=1e9)

        [(method, path, body)] = service.said
        assert (method, path) == ("PUT", "/task-types/add")
        assert "anyOf" not in body["schema"]

    def test_a_task_of_another_application_is_refused(self, app):
        adopted = types.adopted_types(app)["add"]
        known = [shown(adopted, description=f"{types.OWNER}books: add", payload={})]
        service = Service(known, [{"node": "other", "state": "alive", "types": {"add": "hash"}}])

        with pytest.raises(OtherApplication, match="'books'"):
            declaring_of(app, service).declare()

    def test_a_type_that_is_gone_is_retired_after_a_while(self, app):
        known = [shown(each) for each in types.adopted_types(app).values()]
        known.append(shown(types.adopted_types(app)["add"], name="gone", description=f"{types.OWNER}shop: gone"))
        known.append(shown(types.adopted_types(app)["add"], name="theirs", description=f"{types.OWNER}books: theirs"))
        service = Service(known)
        declaring = declaring_of(app, service)

        declaring.look_after(retire_after=3600)
        assert service.said == []
        declaring.look_after(retire_after=0)

        assert [said[:2] for said in service.said] == [("DELETE", "/task-types/gone")]

    def test_forms_are_not_collected_without_end(self):
        schema = {"anyOf": [{"title": str(number)} for number in range(9)]}

        assert len(_either({"title": "mine"}, schema)["anyOf"]) == 4


class TestPace:
    def test_nothing_is_claimed_ahead_before_anything_has_run(self):
        assert Pace().ahead(4) == 0

    def test_short_tasks_are_claimed_ahead_and_long_ones_are_not(self):
        short, long = Pace(), Pace()
        short.ran(0.002)
        long.ran(3.0)

        assert short.ahead(4) > 50
        assert long.ahead(4) == 0

    def test_what_came_late_stops_it(self):
        pace = Pace()
        pace.ran(0.001)

        pace.was_late()

        assert pace.ahead(4) == 0


@pytest.mark.parametrize(("said", "found"), [("10,3", (10, 3)), ("4", (4, 1)), ("5,0", (5, 1))])
def test_autoscale_is_read_as_celery_does(said, found):
    assert autoscale_of(said) == found


@pytest.mark.parametrize("said", ["3,10", "0", "many"])
def test_another_autoscale_is_refused(said):
    with pytest.raises(ValueError):
        autoscale_of(said)
