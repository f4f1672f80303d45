"""Logging in to the dashboard: the same accounts and the same brakes as the API."""

import re

import pytest
import sqlalchemy as sa

from app.config import load
from app.factory import create_app
from app.services.accounts import passwords
from tests.conftest import NO_BROKER
from tests.support.people import make_person

TOKEN = re.compile(r'name="csrf" value="([^"]+)"')
PASSWORD = "correct horse battery"


@pytest.fixture
def ada(database_url, engine):
    return make_person(database_url, email="ada@example.com", password_hash=passwords.hashed(PASSWORD))


def log_in(client, password=PASSWORD, **fields):
    token = TOKEN.search(client.get("/login").text).group(1)
    return client.post("/login", data={"csrf": token, "email": "ada@example.com", "password": password, **fields})


def test_a_right_password_begins_a_session(anonymous, ada):
    answer = log_in(anonymous)

    assert (answer.status_code, answer.location) == (302, "/")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert anonymous.get("/").status_code == 200


def test_logging_out_ends_the_session_in_the_ledger_too(anonymous, ada, application):
    log_in(anonymous)
    cookie = anonymous.get_cookie("taskledger").value
    token = TOKEN.search(anonymous.get("/").text).group(1)
    farewell = anonymous.post("/logout", data={"csrf": token})
    assert farewell.headers["Clear-Site-Data"] == '"cache", "storage"'

    thief = application.test_client()
    thief.set_cookie("taskledger", cookie)
    assert thief.get("/").status_code == 302


def test_the_session_that_a_visitor_brings_is_not_the_one_that_begins(anonymous, ada):
    before = TOKEN.search(anonymous.get("/login").text).group(1)
    log_in(anonymous)

    assert TOKEN.search(anonymous.get("/").text).group(1) != before


def test_wrong_passwords_wait_longer_and_longer_whichever_way_they_come(anonymous, ada):
    for _ in range(3):
        log_in(anonymous, password="wrong")
    for _ in range(3):
        anonymous.post("/api/v1/auth/login", json={"email": "ada@example.com", "password": "wrong"})

    assert log_in(anonymous).status_code == 429
    assert "try again in" in log_in(anonymous).text


def test_the_answer_does_not_tell_whether_there_is_such_an_account(anonymous, ada):
    wrong, unknown = log_in(anonymous, password="wrong"), log_in(anonymous, email="nobody@example.com")

    assert [answer.status_code for answer in (wrong, unknown)] == [401, 401]
    assert "The e-mail address or the password is wrong." in unknown.text


@pytest.mark.parametrize(
    "place", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/\r\nX: y"]
)
def test_logging_in_leads_nowhere_else(anonymous, ada, place):
    assert log_in(anonymous, next=place).location == "/"


@pytest.mark.parametrize("place", ["//[", "https://[evil", "/tasks?q=[", "/\x0b"])
def test_a_place_that_is_no_address_is_no_fault(anonymous, place):
    assert anonymous.get("/login", query_string={"next": place}).status_code == 200


def test_logging_in_leads_back(anonymous, ada):
    asked = anonymous.get("/tasks?status=FAILED")
    assert asked.location == "/login?next=/tasks?status%3DFAILED"

    assert log_in(anonymous, next="/tasks?status=FAILED").location == "/tasks?status=FAILED"


@pytest.mark.parametrize(
    ("url", "cookie", "shown"),
    [
        ("http://localhost", "theme", True),
        ("http://localhost", "__Host-theme", False),
        ("https://localhost", "__Host-theme", True),
        ("https://localhost", "theme", False),  # anybody on the way, or another service of this host, can have set it
    ],
)
def test_over_tls_the_chosen_theme_is_a_cookie_of_this_host_alone(anonymous, url, cookie, shown):
    anonymous.set_cookie(cookie, "dark")
    answer = anonymous.get("/login", base_url=url)

    assert ('data-theme="dark"' in answer.text) == shown


def test_in_production_the_cookie_needs_tls_and_stays_with_this_host(database_url, engine):
    settings = load(
        {
            "DATABASE_URL": database_url,
            "BROKER_URL": NO_BROKER,
            "APP_ENV": "production",
            "ALLOW_PLAINTEXT_CONNECTIONS": "true",
            "SECRET_KEY": "5f0c9a12e7b84d3d9a6f1c2b3e4d5a6b",
        }
        | _strong(database_url)
    )
    answer = create_app(settings).test_client().get("/login", base_url="https://ledger.example")

    assert answer.headers["Set-Cookie"].startswith("__Host-taskledger=")
    assert "Secure" in answer.headers["Set-Cookie"]


def _strong(database_url):
    strong = sa.make_url(database_url).set(password="not checked by the tests' server")
    return {"DATABASE_URL": strong.render_as_string(hide_password=False),
            "BROKER_URL": "amqp://ledger:a-long-password@127.0.0.1:1//"}  # fmt: skip
