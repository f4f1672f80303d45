"""Who may do what, over every route that there is."""

import io
import json
import re
from uuid import UUID, uuid4

import pytest

from app.services.accounts import passwords
from tests.integration.api.access_table import (
    EVERYBODY,
    OUTSIDE_THE_DOCUMENT,
    TABLE,
    WORK,
    WORKERS,
    World,
    leased_task,
)
from tests.support.factories import read_task
from tests.support.people import make_admin, make_key, make_person

FOR_ANY_CREDENTIAL = ("GET /api/v1/auth/me", "GET /metrics")
CASES = [(route, caller) for route in TABLE for caller in EVERYBODY]


@pytest.fixture
def quick_passwords(monkeypatch):
    """Hashes that cost nothing."""
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_nobody", [])


@pytest.mark.parametrize(("route", "caller"), CASES, ids=[f"{caller}: {route}" for route, caller in CASES])
def test_every_route_answers_every_caller_as_the_table_says(
    route, caller, application, session, database_url, quick_passwords
):
    line = TABLE[route]
    owner = make_person(database_url)
    world = World(session=session, database_url=database_url, owner=owner)
    method, path = route.split(" ", 1)
    parameters = line.given(world)
    session.commit()

    sent = {"json": line.body} if line.upload is None else {"data": {"file": (io.BytesIO(line.upload), "a.csv")}}
    client = client_of(caller, application, database_url, owner)

    with client.open(path.format(**parameters), method=method, headers=line.headers, **sent) as answer:
        assert answer.status_code == line.expected[EVERYBODY.index(caller)], answer.text
        if answer.status_code in (401, 403, 404):
            assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("route", WORK)
@pytest.mark.parametrize("worker", WORKERS)
def test_a_key_for_work_reaches_what_it_holds_and_nothing_else(route, worker, application, session, database_url):
    owner = make_person(database_url, role="admin")
    world = World(session=session, database_url=database_url, owner=owner)
    parameters = leased_task(world)
    session.commit()
    method, path = route.split(" ", 1)
    before = read_task(session, UUID(parameters["task_id"]))
    body = TABLE[route].body | (
        {"lease": str(uuid4())} if worker == "other lease" and "lease" in TABLE[route].body else {}
    )

    answer = worker_of(worker, application, database_url, owner).open(
        path.format(**parameters), method=method, json=body
    )

    assert answer.status_code == WORK[route][WORKERS.index(worker)], answer.text
    if answer.status_code in (403, 404, 409):
        session.rollback()
        assert read_task(session, before.id) == before
        assert before.id.hex not in answer.text.replace("-", "") or answer.status_code != 403
        assert answer.json["code"] == {403: "type_not_allowed", 404: "not_found", 409: "lease_lost"}[answer.status_code]


def test_a_key_for_work_is_for_nothing_else(application, database_url, engine):
    client = worker_of("holder", application, database_url, make_person(database_url, role="admin"))
    others = [route for route in TABLE if "/work/" not in route and route not in FOR_ANY_CREDENTIAL]
    closed = [route for route in others if TABLE[route].expected != (TABLE[route].expected[0],) * 5]

    answers = {}
    for route in closed:  # what it is about need not exist: the key is looked at first
        method, path = route.split(" ", 1)
        with client.open(re.sub(r"{[^}]+}", str(uuid4()), path), method=method, json=TABLE[route].body) as answer:
            answers[route] = answer.status_code

    assert {route: status for route, status in answers.items() if status != 403} == {}


def worker_of(worker, application, database_url, owner):
    account = make_person(database_url, role="admin") if worker == "other account" else owner
    types = ["another_type"] if worker == "other type" else ["resize"]
    return make_key(database_url, account, scopes=("work",), allowed_types=types).client(application)


def client_of(caller, application, database_url, owner):
    if caller == "anonymous":
        return application.test_client()
    people = {
        "other": lambda: make_person(database_url),
        "owner": lambda: owner,
        "reader": lambda: make_key(database_url, owner, scopes=("tasks:read",)),
        "admin": lambda: make_admin(database_url),
    }
    return people[caller]().client(application)


def test_the_table_lists_every_operation_of_the_openapi_document(anonymous):
    document = json.loads(anonymous.get("/openapi.json").data)
    operations = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete")
    }

    assert operations == set(TABLE)


def test_no_route_is_missing_from_both_the_document_and_the_short_list_beside_it(application):
    routes = {
        f"{method} " + re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
        for rule in application.url_map.iter_rules()
        if not rule.endpoint.startswith("dashboard.")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert routes == set(TABLE) | set(OUTSIDE_THE_DOCUMENT)  # those of the dashboard: tests/integration/dashboard


@pytest.mark.parametrize("route", OUTSIDE_THE_DOCUMENT)
def test_the_document_and_its_pages_are_open(anonymous, route):
    path = route.removeprefix("GET ").format(filename="swagger-ui.css")

    with anonymous.get(path) as answer:  # a file, which wants to be closed
        assert answer.status_code == OUTSIDE_THE_DOCUMENT[route]


def test_what_exists_nowhere_is_404_for_anybody(anonymous):
    assert anonymous.get("/api/v1/nothing").status_code == 404


def test_the_document_says_which_operations_are_open(anonymous):
    document = json.loads(anonymous.get("/openapi.json").data)

    assert document["security"] == [{"bearer": []}]
    assert document["paths"]["/api/v1/auth/login"]["post"]["security"] == []
    assert "security" not in document["paths"]["/api/v1/tasks"]["post"]
