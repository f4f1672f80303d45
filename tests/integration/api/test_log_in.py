"""Registering, logging in, refreshing, logging out; and tokens that do not hold."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest
import sqlalchemy as sa

from app.services.accounts import passwords, tokens
from app.services.accounts.tokens import Claims
from tests.support.people import make_admin

AUTH = "/api/v1/auth"
ADA = {"email": "Ada@Example.com", "password": "three random words", "name": "Ada"}


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch):
    """Hashes that cost nothing."""
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_nobody", [])


@pytest.fixture
def ada(anonymous):
    """Ada's account."""
    answer = anonymous.post(f"{AUTH}/register", json=ADA)
    assert answer.status_code == 201, answer.text
    return answer.json


def log_in(client, **other):
    return client.post(f"{AUTH}/login", json={"email": ADA["email"], "password": ADA["password"]} | other)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def me(client, token):
    return client.get(f"{AUTH}/me", headers=bearer(token))


def test_an_account_can_log_in_whatever_the_case_of_its_address(anonymous, ada):
    begun = log_in(anonymous, email="ada@EXAMPLE.com").json

    assert (begun["token_type"], begun["expires_in"]) == ("Bearer", 900)
    assert me(anonymous, begun["access_token"]).json["id"] == ada["id"]
    assert me(anonymous, begun["access_token"]).json["scopes"] == ["tasks:read", "tasks:write"]


def test_an_address_is_taken_whatever_its_case(anonymous, ada):
    again = anonymous.post(f"{AUTH}/register", json=ADA | {"email": "ADA@example.COM"})

    assert (again.status_code, again.json["code"]) == (409, "email_taken")


@pytest.mark.parametrize(
    "password",
    ["seven77", "x" * 129, "Password1!", "qwertyuiop", "1234567890", "aaaaaaaa", "abababab", "ada@example.com"],
)
def test_a_password_that_guessing_tools_try_is_refused(anonymous, password):
    answer = anonymous.post(f"{AUTH}/register", json=ADA | {"password": password})

    assert answer.status_code == 422
    assert "password" in answer.json["errors"]


def test_passwords_are_kept_as_argon2id(anonymous, ada, session):
    assert session.scalar(sa.text("SELECT password_hash FROM users")).startswith("$argon2id$")


def test_a_wrong_password_and_an_unknown_account_are_answered_alike(anonymous, ada):
    wrong = log_in(anonymous, password="another")
    unknown = log_in(anonymous, email="nobody@example.com")

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json == unknown.json


def test_an_unknown_account_costs_a_hash_too(anonymous, monkeypatch):
    verified = []
    monkeypatch.setattr(passwords, "HASHER", _Counting(verified))

    log_in(anonymous, email="nobody@example.com")

    assert len(verified) == 1


class _Counting:
    def __init__(self, verified):
        self._verified = verified
        self._inner = passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

    def hash(self, password):
        return self._inner.hash(password)

    def verify(self, password_hash, password):
        self._verified.append(password_hash)
        return self._inner.verify(password_hash, password)


def test_registration_can_be_closed(settings, engine):
    from dataclasses import replace

    from app.factory import create_app

    closed = create_app(replace(settings, registration="closed")).test_client()

    assert closed.post(f"{AUTH}/register", json=ADA).status_code == 403


def test_a_refresh_token_gives_the_next_pair(anonymous, ada):
    begun = log_in(anonymous).json

    following = anonymous.post(f"{AUTH}/refresh", json={"refresh_token": begun["refresh_token"]}).json

    assert following["refresh_token"] != begun["refresh_token"]
    assert me(anonymous, following["access_token"]).status_code == 200


def test_a_log_in_that_is_continued_ends_all_the_same(anonymous, ada, session):
    token = log_in(anonymous).json["refresh_token"]
    session.execute(sa.text("UPDATE refresh_tokens SET began_at = began_at - interval '30 days'"))
    session.commit()

    assert anonymous.post(f"{AUTH}/refresh", json={"refresh_token": token}).status_code == 401


def test_a_refresh_token_used_twice_ends_the_whole_log_in(anonymous, ada, session):
    begun = log_in(anonymous).json
    following = anonymous.post(f"{AUTH}/refresh", json={"refresh_token": begun["refresh_token"]}).json

    reused = anonymous.post(f"{AUTH}/refresh", json={"refresh_token": begun["refresh_token"]})

    assert (reused.status_code, reused.mimetype) == (401, "application/problem+json")
    assert me(anonymous, following["access_token"]).status_code == 401
    next_one = anonymous.post(f"{AUTH}/refresh", json={"refresh_token": following["refresh_token"]})
    assert next_one.status_code == 401
    assert "session.token_reused" in session.scalars(sa.text("SELECT action FROM audit_log")).all()


def test_logging_out_ends_this_log_in_and_no_other(anonymous, ada):
    here, there = log_in(anonymous).json, log_in(anonymous).json

    ended = anonymous.post(f"{AUTH}/logout", headers=bearer(here["access_token"]))
    assert (ended.status_code, ended.headers["Clear-Site-Data"]) == (204, '"cache", "storage"')

    assert me(anonymous, here["access_token"]).status_code == 401
    assert anonymous.post(f"{AUTH}/refresh", json={"refresh_token": here["refresh_token"]}).status_code == 401
    assert me(anonymous, there["access_token"]).status_code == 200


def test_a_refresh_token_alone_is_enough_to_log_out(anonymous, ada):
    begun = log_in(anonymous).json

    anonymous.post(f"{AUTH}/logout", json={"refresh_token": begun["refresh_token"]})

    assert me(anonymous, begun["access_token"]).status_code == 401


def test_logging_out_everywhere_holds_at_once(anonymous, ada):
    logins = [log_in(anonymous).json for _ in range(3)]

    assert anonymous.post(f"{AUTH}/logout-all", headers=bearer(logins[0]["access_token"])).status_code == 204

    assert {me(anonymous, each["access_token"]).status_code for each in logins} == {401}


def test_a_new_role_holds_at_once(anonymous, ada, admin, client):
    token = log_in(anonymous).json["access_token"]
    client.patch(f"/api/v1/users/{ada['id']}", json={"role": "admin"})

    assert me(anonymous, token).status_code == 401
    promoted = log_in(anonymous).json["access_token"]
    assert anonymous.get("/api/v1/users", headers=bearer(promoted)).status_code == 200
    client.patch(f"/api/v1/users/{ada['id']}", json={"role": "user"})
    assert anonymous.get("/api/v1/users", headers=bearer(promoted)).status_code == 401


def test_a_closed_account_is_refused_at_once(anonymous, ada, client):
    token = log_in(anonymous).json["access_token"]
    client.patch(f"/api/v1/users/{ada['id']}", json={"is_disabled": True})

    assert me(anonymous, token).status_code == 401
    assert log_in(anonymous).status_code == 401


def test_the_last_admin_stays_one(client, admin):
    answer = client.patch(f"/api/v1/users/{admin.id}", json={"role": "user"})

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")


def test_a_new_password_ends_every_log_in(anonymous, ada):
    token = log_in(anonymous).json["access_token"]
    new = {"current_password": ADA["password"], "new_password": "four other random words"}

    assert anonymous.post(f"{AUTH}/password", json=new, headers=bearer(token)).status_code == 204

    assert me(anonymous, token).status_code == 401
    assert log_in(anonymous, password=new["new_password"]).status_code == 200


@pytest.fixture
def forge(application, ada, session):
    """Makes tokens that resemble Ada's."""
    family = uuid4()
    now = datetime.now(UTC)
    body = {
        "iss": "taskledger",
        "sub": ada["id"],
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(minutes=15)).timestamp()),
        "jti": "1",
        "ver": 0,
        "sid": str(family),
    }
    return lambda key, algorithm="HS256", **other: jwt.encode(body | other, key, algorithm=algorithm)


def test_tokens_that_are_not_ours_are_refused(anonymous, ada, forge, settings):
    ours = tokens.signing_key(settings.secret_key)
    good = log_in(anonymous).json["access_token"]
    header, body, signature = good.split(".")
    admin_body = base64.urlsafe_b64encode(json.dumps({"sub": ada["id"], "role": "admin"}).encode()).decode().strip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().strip("=")
    bad = {
        "another key": forge(b"another key that is long enough for HS256"),
        "SECRET_KEY itself": forge(settings.secret_key),
        "alg none": f"{none}.{body}.",
        "alg none with a signature": f"{none}.{body}.{signature}",
        "another body": f"{header}.{admin_body}.{signature}",
        "a cut signature": good[:-3],
        "another issuer": forge(ours, iss="somebody"),
        "another algorithm": forge(ours * 2, "HS512"),
        "no log-in behind it": forge(ours),
        "no user": forge(ours, sub=str(uuid4())),
        "a subject that is no id": forge(ours, sub="' OR 1=1 --"),
        "no expiry": forge(ours, exp=None),
        "garbage": "garbage",
        "an unknown API key": "tl_" + "x" * 43,
        "a refresh token": log_in(anonymous).json["refresh_token"],
        "an empty one": "",
    }

    answers = {name: me(anonymous, token) for name, token in bad.items()}

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(bad, 401)
    assert {answer.mimetype for answer in answers.values()} == {"application/problem+json"}
    assert all("WWW-Authenticate" in answer.headers for answer in answers.values())


def test_an_expired_token_is_refused(anonymous, ada, settings, session):
    family = session.scalar(sa.text("SELECT family FROM refresh_tokens")) or uuid4()
    log_in(anonymous)
    family = session.scalar(sa.text("SELECT family FROM refresh_tokens"))
    claims = Claims(user_id=ada["id"], version=0, family=family)
    key, now = tokens.signing_key(settings.secret_key), datetime.now(UTC)

    fresh = tokens.issue(claims, key=key, now=now)
    old = tokens.issue(claims, key=key, now=now - tokens.LIFETIME)

    assert me(anonymous, fresh).status_code == 200
    assert me(anonymous, old).status_code == 401
    assert "expired" in me(anonymous, old).json["detail"]


def test_basic_authentication_and_tokens_in_the_url_are_no_credentials(anonymous, admin):
    assert anonymous.get("/api/v1/tasks", auth=("admin", admin.key)).status_code == 401
    assert anonymous.get(f"/api/v1/tasks?access_token={admin.key}").status_code == 401


def test_a_thousand_wrong_log_ins_hurt_nobody_but_their_sender(anonymous, ada, admin, application, monkeypatch):
    verified = []
    monkeypatch.setattr(passwords, "HASHER", _Counting(verified))
    key = anonymous.post(
        "/api/v1/api-keys",
        json={"name": "import", "scopes": ["tasks:read"]},
        headers=bearer(log_in(anonymous).json["access_token"]),
    ).json["key"]
    before = len(verified)

    statuses = [log_in(anonymous, password=f"guess {number}").status_code for number in range(1000)]

    assert set(statuses) == {401, 429}
    assert len(verified) - before < 10  # the rest cost no hash, so nobody's log-in waits behind them
    assert anonymous.get("/api/v1/tasks", headers=bearer(key)).status_code == 200
    elsewhere = {"REMOTE_ADDR": "203.0.113.9"}
    from_home = anonymous.post(
        f"{AUTH}/login", json={"email": ADA["email"], "password": ADA["password"]}, environ_overrides=elsewhere
    )
    assert from_home.status_code == 200
    assert admin.client(application).get("/api/v1/users").status_code == 200


def test_the_right_password_has_to_wait_too_after_many_wrong_ones_from_the_same_address(anonymous, ada):
    for _ in range(6):
        log_in(anonymous, password="wrong")

    refused = log_in(anonymous)

    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_accounts_leave_their_traces_in_the_audit_log_without_any_secret(anonymous, ada, client, session):
    begun = log_in(anonymous).json
    log_in(anonymous, password="a wrong password")

    entries = client.get("/api/v1/audit").json["items"]

    assert [entry["action"] for entry in entries] == ["user.login_failed", "user.logged_in", "user.registered"]
    assert entries[0]["subject"] == f"user:{ada['id']}"
    text = json.dumps(entries)
    assert not any(secret in text for secret in (ADA["password"], "a wrong password", begun["refresh_token"]))


def test_failed_log_ins_carry_a_digest_by_which_those_of_one_address_are_found(anonymous, ada, client, session):
    for email in ("ada@example.com", "ADA@EXAMPLE.COM", "nobody@example.com", "nobody@example.com "):
        log_in(anonymous, email=email, password="a wrong password")

    texts = session.scalars(sa.text("SELECT audit_log::text FROM audit_log WHERE action = 'user.login_failed'")).all()
    rows = session.execute(
        sa.text(
            "SELECT detail ->> 'email_digest', array_agg(subject ORDER BY id) FROM audit_log "
            "WHERE action = 'user.login_failed' GROUP BY 1 ORDER BY min(id)"
        )
    ).all()
    assert [len(digest) for digest, _ in rows] == [64, 64]
    assert rows[0][1] == [f"user:{ada['id']}"] * 2
    assert set(rows[1][1]) == {None}
    plain = {hashlib.sha256(email.encode()).hexdigest() for email in ("ada@example.com", "nobody@example.com")}
    assert not plain & {digest for digest, _ in rows}
    assert not any("example.com" in text.lower() for text in texts)


def test_the_audit_log_cannot_be_changed(anonymous, ada, session):
    with pytest.raises(sa.exc.DBAPIError, match="only ever added"):
        session.execute(sa.text("UPDATE audit_log SET action = 'nothing'"))
    session.rollback()
    with pytest.raises(sa.exc.DBAPIError, match="only ever added"):
        session.execute(sa.text("DELETE FROM audit_log"))


def test_an_admin_makes_accounts_while_others_do_not(client, database_url, application):
    made = client.post("/api/v1/users", json=ADA | {"role": "admin"})

    assert made.json["role"] == "admin"
    assert make_admin(database_url).client(application).get(f"/api/v1/users/{made.json['id']}").status_code == 200
