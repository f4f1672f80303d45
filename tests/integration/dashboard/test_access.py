"""Who sees what, over every page that there is; and forms that are not ours."""

import re

import pytest
import sqlalchemy as sa

from app.services.accounts import passwords
from tests.integration.api.access_table import World
from tests.integration.dashboard.conftest import send
from tests.integration.dashboard.pages_table import OPEN, TABLE, VISITORS
from tests.support.people import make_admin, make_person

POSTS = [route for route in TABLE if route.startswith("POST ")]


@pytest.fixture
def quick_passwords(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_nobody", [])


@pytest.fixture
def world(session, database_url):
    return World(session=session, database_url=database_url, owner=make_person(database_url))


def client_of(visitor, application, database_url, owner, log_in):
    people = {
        "other": lambda: make_person(database_url),
        "owner": lambda: owner,
        "admin": lambda: make_admin(database_url),
    }
    if visitor in people:
        return log_in(people[visitor]())
    client = application.test_client()
    with client.session_transaction() as cookie:
        cookie["csrf"] = "the token"
    return client


@pytest.mark.parametrize("route", TABLE)
def test_every_page_answers_every_visitor_as_the_table_says(
    route, application, world, session, database_url, log_in, quick_passwords
):
    page = TABLE[route]
    method, path = route.split(" ", 1)
    statuses = []
    for visitor in VISITORS:
        place = path.format(**page.given(world))
        session.commit()
        client = client_of(visitor, application, database_url, world.owner, log_in)
        with client.get(place) if method == "GET" else send(client, place, **page.form) as answer:
            statuses.append(answer.status_code)
            if answer.status_code in (403, 404):
                assert answer.mimetype == "text/html"
            if visitor == "nobody" and answer.status_code == 302:
                assert answer.location.startswith("/login")

    assert tuple(statuses) == page.expected


@pytest.mark.parametrize("route", POSTS)
def test_no_form_is_accepted_without_the_token_of_its_session(route, world, session, log_in):
    page = TABLE[route]
    path = route.removeprefix("POST ").format(**page.given(world))
    session.commit()
    client = log_in(world.owner)

    refused = [
        client.post(path, data=page.form),
        client.post(path, data={**page.form, "csrf": "another token"}),
        client.post(path, data={**page.form, "csrf": "the token"}, headers={"Sec-Fetch-Site": "cross-site"}),
        client.post(path, data={**page.form, "csrf": "the token"}, headers={"Origin": "https://evil.example"}),
    ]

    assert [answer.status_code for answer in refused] == [403] * 4


def test_the_cookie_alone_opens_nothing_in_the_api(page):
    assert page.get("/api/v1/tasks").status_code == 401
    assert page.post("/api/v1/tasks", json={"type": "reverse_string", "payload": "x"}).status_code == 401


def test_an_api_key_alone_opens_no_page(client):
    assert client.get("/tasks").status_code == 302


@pytest.mark.parametrize("end", ["UPDATE users SET disabled_at = now()", "UPDATE users SET token_version = 7",
                                 "UPDATE refresh_tokens SET revoked_at = now()"])  # fmt: skip
def test_a_session_ends_with_its_log_in_its_account_and_its_token_version(end, page, session):
    assert page.get("/tasks").status_code == 200
    session.execute(sa.text(end))
    session.commit()

    assert page.get("/tasks").status_code == 302
    assert page.get("/live", headers={"X-Live": "1"}).status_code == 401


def test_others_tasks_are_neither_listed_nor_touched_together(page, store, database_url, session):
    theirs = store(owner_id=make_person(database_url).id, name="not yours")

    listed = page.get("/tasks").text
    asked = send(page, "/tasks/selected", action="cancel", id=str(theirs.id)).text
    send(page, "/tasks/selected", action="cancel", id=str(theirs.id), confirmed="1")

    assert "not yours" not in listed
    assert "Cancel 0 tasks?" in asked
    assert session.connection().exec_driver_sql("SELECT status FROM tasks").scalar() == "PENDING"


def test_the_routes_of_the_dashboard_are_all_in_the_table(application):
    routes = {
        f"{method} " + re.sub(r"<(?:any\([^)]*\):|[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
        for rule in application.url_map.iter_rules()
        if rule.endpoint.startswith("dashboard.")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert routes == set(TABLE) | set(OPEN)
