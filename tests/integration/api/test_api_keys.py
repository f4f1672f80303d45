"""API keys: what they may be used for, and until when."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.services.accounts import passwords
from app.web import access
from app.web.transactions import db
from tests.support.people import make_key, make_person

KEYS = "/api/v1/api-keys"


@pytest.fixture
def made(client):
    """A new key of the admin's."""
    answer = client.post(KEYS, json={"name": "import", "scopes": ["tasks:read", "tasks:write"]})
    assert answer.status_code == 201, answer.text
    return answer.json


def use(client, key, path="/api/v1/tasks"):
    return client.get(path, headers={"Authorization": f"Bearer {key}"})


def test_a_key_is_shown_once_and_kept_as_a_digest(client, made, session):
    listed = client.get(KEYS).json["items"][0]

    assert made["key"].startswith(made["prefix"])
    assert made["prefix"].startswith("tl_")
    assert "key" not in listed
    assert made["key"] not in str(session.execute(sa.text("SELECT * FROM api_keys")).all())


def test_a_repeated_request_makes_one_key_and_shows_it_once(client, session):
    body, headers = {"name": "import", "scopes": ["tasks:read"]}, {"Idempotency-Key": "import-1"}

    first, again = client.post(KEYS, json=body, headers=headers), client.post(KEYS, json=body, headers=headers)
    other = client.post(KEYS, json=body | {"scopes": ["tasks:write"]}, headers=headers)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json | {"key": None}
    assert session.scalar(sa.text("SELECT count(*) FROM api_keys WHERE name = 'import'")) == 1
    assert session.scalar(sa.text("SELECT count(*) FROM audit_log WHERE action = 'api_key.created'")) == 1


def test_a_key_works_until_it_is_revoked(client, anonymous, made):
    assert use(anonymous, made["key"]).status_code == 200

    revoked = client.delete(f"{KEYS}/{made['id']}").json

    assert revoked["revoked_at"] is not None
    assert use(anonymous, made["key"]).status_code == 401


def test_a_key_revoked_by_another_process_is_refused_after_two_seconds(anonymous, made, session, monkeypatch):
    use(anonymous, made["key"])
    session.execute(sa.text("UPDATE api_keys SET revoked_at = now() WHERE id = :id"), {"id": made["id"]})
    session.commit()
    later = access.time.monotonic() + access.KEY_SECONDS

    monkeypatch.setattr(access.time, "monotonic", lambda: later)

    assert use(anonymous, made["key"]).status_code == 401


def test_a_key_costs_a_statement_only_every_two_seconds(anonymous, made, engine, application):
    use(anonymous, made["key"])
    statements = []
    with application.app_context():
        watched = db.engine
    sa.event.listen(watched, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    for _ in range(20):
        use(anonymous, made["key"])

    assert [each for each in statements if "api_keys" in each] == []


def test_what_only_admins_may_is_asked_of_the_database_each_time(client, anonymous, admin, session):
    assert use(anonymous, admin.key, "/api/v1/users").status_code == 200
    session.execute(sa.text("UPDATE users SET role = 'user' WHERE id = :id"), {"id": admin.id})
    session.commit()

    assert use(anonymous, admin.key, "/api/v1/users").status_code == 403


def test_an_expired_key_is_refused(client, anonymous, made, session):
    past = datetime.now(UTC) - timedelta(seconds=1)
    session.execute(sa.text("UPDATE api_keys SET expires_at = :past WHERE id = :id"), {"past": past, "id": made["id"]})
    session.commit()

    assert use(anonymous, made["key"]).status_code == 401


def test_an_end_in_the_past_is_refused(client):
    answer = client.post(KEYS, json={"name": "x", "scopes": ["tasks:read"], "expires_at": "2020-01-01T00:00:00Z"})

    assert answer.status_code == 422


def test_use_is_noted_once_a_minute(client, anonymous, made, session):
    use(anonymous, made["key"])
    noted = sa.text("SELECT last_used_at FROM api_keys WHERE id = :id")
    first = session.scalar(noted, {"id": made["id"]})
    session.rollback()
    access.KEYS.forget()
    use(anonymous, made["key"])

    assert first is not None
    assert session.scalar(noted, {"id": made["id"]}) == first


def test_a_key_for_reading_changes_nothing(application, database_url, engine):
    reader = make_person(database_url, scopes=("tasks:read",)).client(application)

    answer = reader.post("/api/v1/tasks", json={"type": "reverse_string", "payload": "x"})

    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


def test_a_key_for_writing_reads_nothing(application, database_url, engine):
    writer = make_person(database_url, scopes=("tasks:write",)).client(application)

    assert writer.post("/api/v1/tasks", json={"type": "reverse_string", "payload": "x"}).status_code == 201
    assert writer.get("/api/v1/tasks").status_code == 403


def test_an_admins_key_without_the_scope_admin_sees_what_is_theirs(client, submit, admin, application, database_url):
    modest = make_key(database_url, admin, scopes=("tasks:read", "tasks:write")).client(application)
    other = make_person(database_url).client(application)
    theirs = submit()
    foreign = other.post("/api/v1/tasks", json={"type": "reverse_string", "payload": "x"}).json

    assert [task["id"] for task in modest.get("/api/v1/tasks").json["items"]] == [theirs["id"]]
    assert len(client.get("/api/v1/tasks").json["items"]) == 2
    assert modest.get("/api/v1/users").status_code == 403
    assert foreign["owner"] != theirs["owner"]


def test_a_user_makes_no_key_for_admins(anonymous, engine, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    account = {"email": "eve@example.com", "password": "three random words", "name": "Eve"}
    anonymous.post("/api/v1/auth/register", json=account)
    login = {name: account[name] for name in ("email", "password")}
    token = anonymous.post("/api/v1/auth/login", json=login).json["access_token"]

    refused = anonymous.post(
        KEYS, json={"name": "x", "scopes": ["admin"]}, headers={"Authorization": f"Bearer {token}"}
    )

    assert refused.status_code == 422


def test_others_tasks_are_as_good_as_absent(application, database_url, engine):
    ada, eve = (make_person(database_url).client(application) for _ in range(2))
    task = ada.post("/api/v1/tasks", json={"type": "reverse_string", "payload": "x", "labels": {"a": "b"}}).json
    path = f"/api/v1/tasks/{task['id']}"

    assert eve.get("/api/v1/tasks").json["items"] == []
    assert eve.get("/api/v1/tasks?label=a:b").json["items"] == []
    absent = eve.get("/api/v1/tasks/018f3c5e-7d2a-7000-8000-0123456789ab").json["detail"]
    assert eve.get(path).json["detail"] == absent.replace("018f3c5e-7d2a-7000-8000-0123456789ab", task["id"])
    assert [eve.open(path, method=method, json={}).status_code for method in ("PATCH", "DELETE")] == [404, 404]


def test_idempotency_keys_are_each_accounts_own(application, database_url, engine):
    ada, eve = (make_person(database_url).client(application) for _ in range(2))
    body, same = {"type": "reverse_string", "payload": "x"}, {"Idempotency-Key": "order-1"}

    first, second = (person.post("/api/v1/tasks", json=body, headers=same) for person in (ada, eve))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["id"] != second.json["id"]
