"""A forgotten password: an admin makes a code on the command line, and somebody sets a new one with it, once."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.cli import register
from app.clock import utcnow
from app.errors import Refused
from app.factory import create_app
from app.services.accounts import password_reset, passwords
from tests.support.people import make_person

OLD, NEW = "three random words", "four other random words"
KEYS = ["a key of some length"]
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@pytest.fixture
def ada(database_url, engine):
    return make_person(database_url, password_hash=passwords.hashed(OLD))


@pytest.fixture
def code_of(settings, engine):
    """What the command prints for an account."""

    def printed(email, **changed):
        application = create_app(replace(settings, **changed))
        register(application)
        done = application.test_cli_runner().invoke(args=["admin", "reset-password", "--email", email])
        assert done.exit_code == 0, done.output
        return done.output.splitlines()[-1]

    return printed


def send(client, code, new=NEW):
    token = TOKEN.search(client.get("/reset-password").text).group(1)
    return client.post("/reset-password", data={"csrf": token, "code": code, "new_password": new})


def log_in(client, email, password):
    body = {"email": email, "password": password}
    return client.post("/api/v1/auth/login", json=body).status_code


def test_a_code_sets_a_new_password_ends_every_log_in_and_is_good_once(anonymous, application, ada, code_of, session):
    begun = anonymous.post("/api/v1/auth/login", json={"email": ada.email, "password": OLD}).json
    code = code_of(ada.email.upper())
    assert log_in(anonymous, ada.email, OLD) == 200  # it still holds

    done = send(anonymous, f"  {code} ")

    assert (done.status_code, done.location) == (302, "/login")
    assert done.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert (log_in(anonymous, ada.email, OLD), log_in(anonymous, ada.email, NEW)) == (401, 200)
    access = {"Authorization": f"Bearer {begun['access_token']}"}
    assert anonymous.get("/api/v1/auth/me", headers=access).status_code == 401
    assert ada.client(application).get("/api/v1/tasks").status_code == 200  # its key
    again = send(anonymous, code, "five more random words here")
    assert (again.status_code, "was used already" in again.text) == (422, True)
    told = session.execute(
        sa.text("SELECT action, subject FROM audit_log WHERE action LIKE 'user.password%' ORDER BY id")
    ).all()
    subject = f"user:{ada.id}"
    assert told == [("user.password_reset_allowed", subject), ("user.password_reset", subject)]


def test_a_code_is_void_after_another_change_of_the_password_and_for_a_closed_account(anonymous, ada, code_of, session):
    code = code_of(ada.email)
    session.execute(sa.text("UPDATE users SET disabled_at = now()"))
    session.commit()
    assert send(anonymous, code).status_code == 422
    session.execute(sa.text("UPDATE users SET disabled_at = NULL, password_hash = 'another'"))
    session.commit()

    assert send(anonymous, code).status_code == 422


@pytest.mark.parametrize("new", ["short", "password1", "x" * 129])
def test_a_bad_new_password_is_refused_and_the_code_stays_good(anonymous, ada, code_of, new):
    code = code_of(ada.email)

    assert send(anonymous, code, new).status_code == 422
    assert send(anonymous, code).status_code == 302


def test_a_code_that_the_previous_key_signed_is_accepted(anonymous, ada, code_of, settings):
    code = code_of(ada.email, secret_key="the key of before")
    client = create_app(replace(settings, secret_key_previous="the key of before")).test_client()

    assert send(anonymous, code).status_code == 422
    assert send(client, code).status_code == 302


def test_nobody_gets_a_code_for_an_account_that_is_not_there(settings, engine):
    application = create_app(settings)
    register(application)

    done = application.test_cli_runner().invoke(args=["admin", "reset-password", "--email", "nobody@example.com"])

    assert (done.exit_code, "no open account" in done.output) == (1, True)


def test_a_code_ends_after_an_hour_and_cannot_be_made_up(ada):
    now = utcnow()
    code = password_reset.code_for(ada.id, "hash", keys=KEYS, now=now)

    in_time = password_reset.read(code, keys=KEYS, now=now + timedelta(minutes=59))
    assert (in_time.user_id, in_time.fingerprint) == (ada.id, password_reset.fingerprint("hash"))
    for bad, moment in ((code, now + timedelta(minutes=61)), (code[:-3] + "abc", now), ("x", now), ("", now)):
        with pytest.raises(Refused, match="not valid"):
            password_reset.read(bad, keys=KEYS, now=moment)


def test_an_admin_ends_the_log_ins_of_an_account_and_nothing_else(anonymous, application, ada, client, session):
    begun = anonymous.post("/api/v1/auth/login", json={"email": ada.email, "password": OLD}).json
    access = {"Authorization": f"Bearer {begun['access_token']}"}
    assert anonymous.get("/api/v1/auth/me", headers=access).status_code == 200

    assert client.post(f"/api/v1/users/{ada.id}/logout").status_code == 204

    assert anonymous.get("/api/v1/auth/me", headers=access).status_code == 401
    token = {"refresh_token": begun["refresh_token"]}
    assert anonymous.post("/api/v1/auth/refresh", json=token).status_code == 401
    assert ada.client(application).get("/api/v1/tasks").status_code == 200
    assert log_in(anonymous, ada.email, OLD) == 200
    assert "user.log_ins_ended" in session.scalars(sa.text("SELECT action FROM audit_log")).all()
