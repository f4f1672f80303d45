"""Changing PAYLOAD_KEYS and SECRET_KEY step by step, as docs/how-to/protect-an-installation.md says."""

import base64
import json
from dataclasses import replace
from uuid import UUID

import pytest
import sqlalchemy as sa
from standardwebhooks.webhooks import Webhook

from app import clock
from app.cli import register
from app.commands.doctor.key_points import of_keys
from app.factory import create_app
from app.services import webhooks
from app.services.accounts import passwords
from app.services.encryption import ciphertexts, rotation
from app.services.webhooks.sending import secrets_of_account
from app.worker import executor, payload_keys, ports
from app.worker.executor import NoHint, check_signature
from tests.support.factories import make_task
from tests.support.people import make_person
from tests.support.servers.attempts import run_attempt

TASKS = "/api/v1/tasks"
CARD = {"number": "4111-1111"}
OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
OLD_NAME, NEW_NAME = (ciphertexts.keys(key)[0].name for key in (OLD, NEW))
OLD_SECRET, NEW_SECRET = "an old secret key of some length 01", "a newer secret key of some length 23"


@pytest.fixture
def restart(settings, engine, monkeypatch):
    """Every process again, with other settings; returns the API."""

    def restarted(**changed):
        changed_settings = replace(settings, **changed)
        for module in (executor, payload_keys, ports):
            monkeypatch.setattr(module, "get_settings", lambda: changed_settings)
        application = create_app(changed_settings)
        register(application)
        return application

    return restarted


def reencrypt(application, *options):
    result = application.test_cli_runner().invoke(args=["reencrypt", "--json", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def doctor(session, settings, **changed):
    """The points about keys by their states: what was seen."""
    found = list(of_keys(session, replace(settings, **changed)))
    session.rollback()
    return {each.point: (each.state.value, each.seen) for each in found}


@pytest.fixture
def hook(session, httpserver, monkeypatch):
    """Sends a test event to a webhook; whether it arrived, signed with the secret."""
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.1")
    httpserver.expect_request("/hook").respond_with_data("thanks")

    def delivers(webhook_id, secret):
        httpserver.clear_log()
        delivery = webhooks.send_test(session, webhook_id, owner=None, now=clock.utcnow())
        session.execute(sa.text("UPDATE tasks SET dispatched_at = now() WHERE id = :id"), {"id": delivery.task_id})
        session.commit()
        run_attempt("webhook_delivery", delivery.task_id)
        session.rollback()
        if not httpserver.log:
            return False
        request = httpserver.log[0][0]
        return Webhook(secret).verify(request.data, dict(request.headers))["type"] == "webhook.test"

    return delivers


def test_payload_keys_are_changed_and_nothing_stops(
    restart, session, settings, charge_card, database_url, hook, httpserver
):
    person = make_person(database_url)
    now = clock.utcnow()

    def cards(application, *ids):
        client = person.client(application)
        return [client.get(f"{TASKS}/{id_}").json for id_ in ids]

    def submit(application):
        answer = person.client(application).post(TASKS, json={"type": "charge_card", "payload": CARD})
        assert answer.status_code == 201, answer.text
        return answer.json["id"]

    def run(task_id):
        session.execute(sa.text("UPDATE tasks SET dispatched_at = now() WHERE id = :id"), {"id": task_id})
        session.commit()
        run_attempt("charge_card", UUID(task_id))
        session.rollback()
        ended = session.execute(sa.text("SELECT status, error FROM tasks WHERE id = :id"), {"id": task_id}).one()
        session.rollback()
        assert ended == ("COMPLETED", None)

    before = restart(payload_keys=OLD)
    waiting, finished = submit(before), submit(before)
    run(finished)
    keys = ciphertexts.keys(OLD)
    wanted = webhooks.NewWebhook(url=httpserver.url_for("/hook"))
    webhook, secret = webhooks.create(session, wanted, owner_id=person.id, key=None, keys=keys, now=now)
    webhooks.rotate_account(session, person.id, keys=keys, now=now)
    callback, _ = webhooks.rotate_account(session, person.id, keys=keys, now=now)
    session.commit()
    assert hook(webhook.id, secret)

    restart(payload_keys=f"{OLD},{NEW}")  # step 1: everybody can open what the new key will encrypt

    both = restart(payload_keys=f"{NEW},{OLD}")  # step 2: the new key encrypts
    fresh = submit(both)
    assert [card["payload"] for card in cards(both, waiting, finished, fresh)] == [CARD] * 3
    assert cards(restart(payload_keys=f"{OLD},{NEW}"), fresh)[0]["payload"] == CARD  # by one of step 1 beside it
    both = restart(payload_keys=f"{NEW},{OLD}")
    assert hook(webhook.id, secret)
    state, seen = doctor(session, settings, payload_keys=f"{NEW},{OLD}")["keys"]
    assert state == "warning"
    assert f"2 payloads of tasks ({OLD_NAME})" in seen
    assert f"1 results of tasks ({OLD_NAME})" in seen
    assert f"1 secrets of webhooks ({OLD_NAME})" in seen
    assert f"1 previous secrets of callbacks ({OLD_NAME})" in seen

    counted = reencrypt(both, "--dry-run")  # step 3
    assert (counted[0], counted[1]["left"], counted[1]["moved"]) == (0, 6, 0)
    code, said = reencrypt(both)
    assert (code, said["moved"], said["left"], said["newest"]) == (0, 6, 0, NEW_NAME)

    said = doctor(session, settings, payload_keys=f"{NEW},{OLD}")["keys"]  # step 4
    assert said == ("ok", f"nothing needs a key but {NEW_NAME}, the first: {OLD_NAME} may be taken away")

    after = restart(payload_keys=NEW)  # step 5
    run(waiting)
    assert [card["payload"] for card in cards(after, waiting, finished, fresh)] == [CARD] * 3
    assert [card["result"] for card in cards(after, waiting, finished)] == [{"charged": CARD["number"]}] * 2
    assert hook(webhook.id, secret)
    assert callback in secrets_of_account(session, person.id, keys=ciphertexts.keys(NEW), now=clock.utcnow())
    assert doctor(session, settings, payload_keys=NEW)["keys"][0] == "ok"


def test_a_key_that_was_taken_away_too_early_is_a_fault_and_helps_when_it_is_back(
    restart, session, settings, charge_card, database_url
):
    client = make_person(database_url).client(restart(payload_keys=OLD))
    client.post(TASKS, json={"type": "charge_card", "payload": CARD})

    state, seen = doctor(session, settings, payload_keys=NEW)["keys"]
    code, said = reencrypt(restart(payload_keys=NEW))

    assert (state, f"1 payloads of tasks ({OLD_NAME})" in seen) == ("fault", True)
    assert (code, said["moved"], said["left"]) == (1, 0, 1)
    code, said = reencrypt(restart(payload_keys=f"{NEW},{OLD}"))
    assert (code, said["moved"], said["left"]) == (0, 1, 0)


def test_without_a_key_there_is_nothing_to_encrypt_with(restart):
    result = restart(payload_keys="").test_cli_runner().invoke(args=["reencrypt"])

    assert result.exit_code == 1
    assert "PAYLOAD_KEYS is not set" in result.output


@pytest.fixture
def quick_passwords(monkeypatch):
    """Hashes that cost nothing."""
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_nobody", [])


class Caller:
    """Somebody with everything that SECRET_KEY signs, from an API of the old key."""

    ADA = {"email": "ada@example.com", "password": "three random words"}
    BODY = {"type": "charge_card", "payload": CARD}

    def __init__(self, application, session, database_url):
        api, page = application.test_client(), application.test_client()
        assert api.post("/api/v1/auth/register", json=self.ADA | {"name": "Ada"}).status_code == 201
        self.log_in = api.post("/api/v1/auth/login", json=self.ADA).json
        form = page.get("/login").text
        self.csrf = form.partition('name="csrf" value="')[2].partition('"')[0]
        answer = page.post("/login", data=self.ADA | {"csrf": self.csrf})
        assert answer.status_code in (302, 303), answer.text
        self.cookie = page.get_cookie("taskledger", path="/").value
        first, *_ = (self._post(api, TASKS, self.BODY, key=key) for key in ("first", "second", "third"))
        self.task = first.json["id"]
        batch = {"tasks": [{**self.BODY, "idempotency_key": "in a batch"}]}
        self.batch = batch
        assert self._post(api, f"{TASKS}/batch", batch).json["results"][0]["status"] == 201
        self.cursor = self._get(api, f"{TASKS}?limit=1").json["next"]
        dry = self._post(api, "/api/v1/dead-letters/replay", {"filter": {}, "dry_run": True})
        self.dry_run = dry.json["token"]

    def _headers(self, key=None):
        more = {} if key is None else {"Idempotency-Key": key}
        return {"Authorization": f"Bearer {self.log_in['access_token']}"} | more

    def _get(self, api, path):
        return api.get(path, headers=self._headers())

    def _post(self, api, path, body, key=None):
        return api.post(path, json=body, headers=self._headers(key))

    def statuses(self, application):
        """What an API answers to each of them."""
        api, page = application.test_client(), application.test_client()
        page.set_cookie("taskledger", self.cookie, path="/")
        who = self._get(api, "/api/v1/auth/me").status_code
        if who == 401:
            return {"token": 401, "page": page.get("/").status_code}
        repeated = self._post(api, f"{TASKS}/batch", self.batch).json["results"][0]
        return {
            "token": who,
            "page": page.get("/").status_code,
            "cursor": self._get(api, f"{TASKS}?limit=1&cursor={self.cursor}").status_code,
            "dry run": self._post(api, "/api/v1/dead-letters/replay", {"token": self.dry_run}).status_code,
            "Idempotency-Key": self._post(api, TASKS, self.BODY, key="first").status_code,
            "idempotency_key of an item": repeated["status"],
        }


WELL = {
    "token": 200,
    "page": 200,
    "cursor": 200,
    "dry run": 200,
    "Idempotency-Key": 200,
    "idempotency_key of an item": 200,
}


def test_secret_key_is_changed_and_what_it_signed_holds(
    restart, session, settings, charge_card, database_url, quick_passwords
):
    before = restart(secret_key=OLD_SECRET, payload_keys=OLD)
    ada = Caller(before, session, database_url)
    assert ada.statuses(before) == WELL

    first = restart(secret_key=OLD_SECRET, secret_key_previous=NEW_SECRET, payload_keys=OLD)  # step 1
    assert ada.statuses(first) == WELL

    second = restart(secret_key=NEW_SECRET, secret_key_previous=OLD_SECRET, payload_keys=OLD)  # step 2
    assert ada.statuses(second) == WELL
    begun = second.test_client().post("/api/v1/auth/login", json=Caller.ADA).json
    of_new = {"Authorization": f"Bearer {begun['access_token']}"}
    assert first.test_client().get("/api/v1/auth/me", headers=of_new).status_code == 200  # not yet restarted
    assert before.test_client().get("/api/v1/auth/me", headers=of_new).status_code == 401  # so step 1 is needed
    told = doctor(session, settings, secret_key=NEW_SECRET, secret_key_previous=OLD_SECRET, payload_keys=OLD)
    assert told["second SECRET_KEY"][0] == "warning"
    assert "at most 4 Idempotency-Keys" in told["second SECRET_KEY"][1]

    page = second.test_client()
    page.set_cookie("taskledger", ada.cookie, path="/")
    page.get("/")  # a session that is used is signed anew

    last = restart(secret_key=NEW_SECRET, payload_keys=OLD)  # step 3
    assert last.test_client().get("/api/v1/auth/me", headers=of_new).status_code == 200
    again = last.test_client()
    again.set_cookie("taskledger", page.get_cookie("taskledger", path="/").value, path="/")
    assert again.get("/").status_code == 200
    assert ada.statuses(last)["token"] == 401
    refreshed = {"refresh_token": ada.log_in["refresh_token"]}
    assert last.test_client().post("/api/v1/auth/refresh", json=refreshed).status_code == 200
    assert doctor(session, settings, secret_key=NEW_SECRET, payload_keys=OLD)["second SECRET_KEY"][0] == "ok"


def test_only_the_new_key_signs(restart, session, database_url, charge_card, quick_passwords):
    both = restart(secret_key=NEW_SECRET, secret_key_previous=OLD_SECRET, payload_keys=OLD)
    ada = Caller(both, session, database_url)

    assert ada.statuses(restart(secret_key=NEW_SECRET, payload_keys=OLD)) == WELL
    assert ada.statuses(restart(secret_key=OLD_SECRET, payload_keys=OLD)) == {"token": 401, "page": 302}


def test_another_body_is_refused_under_both_keys(restart, session, database_url, charge_card, quick_passwords):
    ada = Caller(restart(secret_key=OLD_SECRET, payload_keys=OLD), session, database_url)
    api = restart(secret_key=NEW_SECRET, secret_key_previous=OLD_SECRET, payload_keys=OLD).test_client()

    answer = ada._post(api, TASKS, ada.BODY | {"payload": {"number": "x"}}, key="first")

    assert answer.json["code"] == "idempotency_key_reused"


def test_hints_are_accepted_that_either_key_signed(restart, session):
    from app.messaging.signing import signature

    task = make_task(session)
    signed = {key: signature(task.type, [task.id], key=key) for key in (OLD_SECRET, NEW_SECRET, "a third key")}

    restart(secret_key=NEW_SECRET, secret_key_previous=OLD_SECRET, sign_hints=True)
    for key in (OLD_SECRET, NEW_SECRET):
        check_signature(task.type, [task.id], signed[key])
    with pytest.raises(NoHint):
        check_signature(task.type, [task.id], signed["a third key"])

    restart(secret_key=NEW_SECRET, sign_hints=True)
    with pytest.raises(NoHint):
        check_signature(task.type, [task.id], signed[OLD_SECRET])


def test_what_reencrypt_says_to_people(restart, charge_card, database_url):
    client = make_person(database_url).client(restart(payload_keys=OLD))
    client.post(TASKS, json={"type": "charge_card", "payload": CARD})

    def say(setting, *options):
        result = restart(payload_keys=setting).test_cli_runner().invoke(args=["reencrypt", *options])
        return result.exit_code, " ".join(result.output.split())

    lost, counted, moved = say(NEW), say(f"{NEW},{OLD}", "--dry-run"), say(f"{NEW},{OLD}")

    assert (lost[0], f"1 values need a key that is not there: put {OLD_NAME} back." in lost[1]) == (1, True)
    assert (counted[0], f"1 values would be moved to key {NEW_NAME}" in counted[1]) == (0, True)
    assert (moved[0], f"Nothing needs a key but {NEW_NAME}" in moved[1]) == (0, True)


def test_a_process_that_still_encrypts_with_the_old_key_is_told_of(restart, charge_card, database_url, monkeypatch):
    client = make_person(database_url).client(restart(payload_keys=OLD))
    both, examine = restart(payload_keys=f"{NEW},{OLD}"), rotation.examine

    def examine_beside_it(*arguments, **options):
        assert client.post(TASKS, json={"type": "charge_card", "payload": CARD}).status_code == 201
        return examine(*arguments, **options)

    monkeypatch.setattr(rotation, "examine", examine_beside_it)
    result = both.test_cli_runner().invoke(args=["reencrypt"])

    assert result.exit_code == 1
    assert f"1 values still need {OLD_NAME}: a process encrypts with an old key" in " ".join(result.output.split())
