"""Limits, quotas, headers, CORS, proxies, injection, and secrets that stay secret."""

import io
import json
import time
from dataclasses import replace
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.factory import create_app
from app.services.accounts.quotas import WAITING_TASKS
from tests.support.people import make_admin, make_person

TASKS = "/api/v1/tasks"
LONGEST_SECONDS = 5  # of a test that counts within a minute
HELLO = {"type": "reverse_string", "payload": "hello"}
NASTY = [
    "'; DROP TABLE tasks; --",
    '" OR 1=1 --',
    "x\r\nSet-Cookie: a=b",
    "%00%0d%0aLocation: http://evil",
    "{{7*7}}${7*7}",
    "<script>alert(1)</script>",
    "\\'; SELECT pg_sleep(5); --",
    "%' OR '1'='1",
]


@pytest.fixture
def build(settings, engine):
    """An application with other settings."""
    return lambda **other: create_app(replace(settings, **other))


@pytest.fixture
def within_a_minute():
    """Counts are of the minutes of the clock, and weigh less from the first moment of the next one on."""
    left = 60 - time.time() % 60
    if left < LONGEST_SECONDS:
        time.sleep(left)


@pytest.mark.usefixtures("within_a_minute")
def test_an_account_that_asks_too_much_is_told_when_to_come_back(build, database_url):
    application = build(rate_limit_create="2 per minute")
    busy, other = (make_person(database_url).client(application) for _ in range(2))

    answers = [busy.post(TASKS, json=HELLO) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].headers["RateLimit-Limit"] == "2"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert (answers[2].mimetype, answers[2].json["code"]) == ("application/problem+json", "too_many_requests")
    assert busy.get(TASKS).status_code == 200  # reading is counted by itself
    assert other.post(TASKS, json=HELLO).status_code == 201


@pytest.mark.usefixtures("within_a_minute")
def test_each_task_of_a_batch_counts_as_a_request(build, database_url, session):
    application = build(rate_limit_create="10 per minute")
    busy, other = (make_person(database_url).client(application) for _ in range(2))

    answers = [busy.post(f"{TASKS}/batch", json={"tasks": [HELLO] * count}) for count in (6, 5, 4, 1)]

    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]  # a refused request has counted itself
    assert [answer.headers["RateLimit-Remaining"] for answer in answers][::3] == ["4", "1"]
    assert int(answers[1].headers["Retry-After"]) >= 1
    assert other.post(f"{TASKS}/batch", json={"tasks": [HELLO] * 10}).status_code == 200
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 17


def test_a_batch_that_no_waiting_would_let_in_is_told_so(build, database_url):
    client = make_person(database_url).client(build(rate_limit_create="10 per minute"))

    answer = client.post(f"{TASKS}/batch", json={"tasks": [HELLO] * 11})

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["tasks"])
    assert "10 per minute" in answer.json["detail"]


def test_an_address_is_as_busy_as_ten_accounts_at_most(build, database_url):
    application = build(rate_limit_read="1 per hour")
    people = [make_person(database_url).client(application) for _ in range(11)]

    assert [person.get(TASKS).status_code for person in people] == [200] * 10 + [429]


@pytest.mark.usefixtures("within_a_minute")
def test_wrong_credentials_are_counted_by_address(build):
    client = build(rate_limit_auth="3 per minute").test_client()
    wrong = {"Authorization": "Bearer tl_" + "x" * 43}

    assert [client.get(TASKS, headers=wrong).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert client.get("/health/live").status_code == 200


def log_in_from(client, address):
    ada = {"email": "ada@example.com", "password": "a wrong one"}
    return client.post("/api/v1/auth/login", json=ada, environ_overrides={"REMOTE_ADDR": address}).status_code


@pytest.mark.usefixtures("within_a_minute")
def test_all_addresses_of_an_ipv6_subnet_are_counted_as_one(build):
    client = build(rate_limit_auth="2 per minute").test_client()

    assert [log_in_from(client, f"2001:db8::{n:x}") for n in range(1, 4)] == [401, 401, 429]
    assert log_in_from(client, "2001:db8:0:1::1") == 401
    assert [log_in_from(client, f"::ffff:192.0.2.{n}") for n in (1, 1, 1, 2)] == [401, 401, 429, 401]


def test_guessing_a_password_from_many_addresses_of_a_subnet_is_slowed_down(build):
    client = build().test_client()

    assert [log_in_from(client, f"2001:db8::{n:x}") for n in range(1, 8)] == [401] * 5 + [429] * 2


def test_a_limit_holds_while_the_storage_is_away(build, database_url):
    application = build(rate_limit_create="1 per hour", rate_limit_storage="redis://127.0.0.1:1/0")
    client = make_person(database_url).client(application)

    assert [client.post(TASKS, json=HELLO).status_code for _ in range(2)] == [201, 429]


def test_an_account_may_have_so_many_tasks_waiting(build, database_url, session):
    application = build(max_waiting_tasks=2)
    client = make_person(database_url).client(application)

    answers = [client.post(TASKS, json=HELLO) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json["code"] == "quota_reached"
    session.execute(sa.text("UPDATE tasks SET status = 'CANCELLED'"))
    session.commit()
    WAITING_TASKS.forget()
    assert client.post(TASKS, json=HELLO).status_code == 201


def test_an_admin_sets_the_quota_of_an_account(build, database_url, client):
    person = make_person(database_url)
    client.patch(f"/api/v1/users/{person.id}", json={"max_waiting_tasks": 1})
    limited = person.client(build())

    assert [limited.post(TASKS, json=HELLO).status_code for _ in range(2)] == [201, 429]


@pytest.fixture
def full(build, database_url):
    """A client whose account may have one task waiting."""
    WAITING_TASKS.forget()
    return make_person(database_url).client(build(max_waiting_tasks=1))


SHOUT = {"name": "shout", "definition": {"steps": {"shout": {"type": "uppercase_text", "payload": "hello"}}}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TASKS, HELLO),
        (f"{TASKS}/batch", {"tasks": [HELLO]}),
        (f"{TASKS}/batch", {"tasks": [{**HELLO, "idempotency_key": "own"}]}),
        ("/api/v1/workflows/shout/runs", {}),
    ],
    ids=["one", "batch", "batch with keys of items", "run"],
)
def test_a_repeated_request_needs_no_room_for_what_the_first_one_made(full, path, body):
    full.post("/api/v1/workflows", json=SHOUT)

    first, second = (full.post(path, json=body, headers={"Idempotency-Key": "order-17"}) for _ in range(2))

    assert (first.status_code, second.status_code) in [(201, 200), (200, 200)]
    assert full.post(TASKS, json=HELLO).status_code == 429


def test_a_task_that_is_there_needs_no_room_to_be_found_by_unique(full):
    body = {**HELLO, "unique": {"by": ["type", "payload"]}}

    assert [full.post(TASKS, json=body).status_code for _ in range(2)] == [201, 200]


def test_running_a_schedule_needs_room_for_a_task(full):
    made = full.post("/api/v1/schedules", json={"cron": "0 7 * * *", "task": HELLO})
    path = f"{made.headers['Location']}/run"
    key = {"Idempotency-Key": "order-17"}

    assert [full.post(path, headers=key).status_code for _ in range(2)] == [201, 200]
    assert full.post(path).status_code == 429


def test_a_payload_that_is_too_large_is_refused_by_size(build, database_url):
    client = make_person(database_url).client(build(max_payload_bytes=1024))

    answer = client.post(TASKS, json=HELLO | {"payload": "x" * 1023})

    assert (answer.status_code, answer.json["code"]) == (422, "quota_reached")
    assert client.post(TASKS, json=HELLO | {"payload": "x" * 1022}).status_code == 201


def test_every_answer_carries_security_headers(client, anonymous):
    for answer in (client.get(TASKS), anonymous.get(TASKS), anonymous.get("/nothing"), anonymous.get("/docs")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
    assert client.get(TASKS).headers["Cache-Control"] == "private, no-cache"
    assert "max-age" in client.get(TASKS, base_url="https://localhost").headers["Strict-Transport-Security"]


def test_no_answer_may_stand_in_a_frame(client):
    file = client.post("/api/v1/artifacts", data={"file": (io.BytesIO(b"<b>x</b>"), "x.html", "text/html")})
    content = f"/api/v1/artifacts/{file.json['id']}/content"
    for path in (TASKS, "/docs", "/login", content, "/api/v1/workflows/invoice/graph.svg"):
        answer = client.get(path)
        assert (path, answer.status_code) == (path, 200)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
        assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_query_parameter_that_comes_twice_is_refused_by_name_unless_it_is_a_list(client):
    answer = client.get(f"{TASKS}?limit=1&limit=200")
    assert (answer.status_code, answer.json["errors"]) == (422, {"limit": ["is given more than once"]})

    assert client.get(f"{TASKS}?label=a:b&label=c:d&status=FAILED").status_code == 200


def test_the_line_of_a_request_names_the_account_by_its_id(build, database_url, capsys):
    person = make_person(database_url)
    client = person.client(build())
    capsys.readouterr()
    client.get(f"{TASKS}/{uuid4()}")

    [line] = [line for line in capsys.readouterr().err.splitlines() if "request_answered" in line]
    assert str(person.id) in line
    assert person.email not in line


def test_tokens_are_kept_in_no_cache(anonymous):
    answer = anonymous.post("/api/v1/auth/login", json={"email": "a@b.example", "password": "wrong"})

    assert answer.headers["Cache-Control"] == "no-store"


def test_other_origins_are_not_let_in(client):
    answer = client.get(TASKS, headers={"Origin": "https://evil.example"})

    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


SENT_BY_CLIENTS = {"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "Prefer"}


def test_a_configured_origin_is_let_in_and_no_other(build, database_url):
    client = make_person(database_url).client(build(cors_origins="https://app.example.com"))
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    preflight = client.options(TASKS, headers={"Origin": "https://app.example.com", **asking})
    other = client.options(TASKS, headers={"Origin": "https://app.example.com.evil.example", **asking})
    answer = client.get(TASKS, headers={"Origin": "https://app.example.com"})

    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, "https://app.example.com")
    assert set(preflight.headers["Access-Control-Allow-Headers"].split(", ")) >= SENT_BY_CLIENTS
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def addresses(session):
    return session.scalars(sa.text("SELECT address FROM audit_log ORDER BY id")).all()


def test_a_forwarded_address_is_believed_from_a_configured_proxy_only(build, session):
    login = {"path": "/api/v1/auth/login", "json": {"email": "a@b.example", "password": "wrong"}}
    forwarded = {"X-Forwarded-For": "198.51.100.7, 203.0.113.5, 10.0.0.2"}

    build().test_client().post(**login, headers=forwarded, environ_overrides={"REMOTE_ADDR": "10.0.0.1"})
    trusting = build(trusted_proxies="10.0.0.0/8").test_client()
    trusting.post(**login, headers=forwarded, environ_overrides={"REMOTE_ADDR": "10.0.0.1"})
    trusting.post(**login, headers=forwarded, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})

    assert addresses(session) == ["10.0.0.1", "203.0.113.5", "192.0.2.1"]


def test_metrics_need_an_admins_key_or_a_configured_address(build, database_url):
    application = build(metrics_allow="192.0.2.0/24")
    # The route itself comes with the metrics; what it asks for is decided here.
    if "/metrics" not in {rule.rule for rule in application.url_map.iter_rules()}:
        application.add_url_rule("/metrics", view_func=lambda: "metrics")
    client = application.test_client()

    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": "192.0.2.7"}).status_code == 200
    assert client.get("/metrics", headers=make_admin(database_url).headers).status_code == 200
    assert client.get("/metrics", headers=make_person(database_url).headers).status_code == 403


@pytest.mark.parametrize("text", NASTY)
def test_injections_are_stored_and_returned_as_data(client, text, session):
    made = client.post(TASKS, json=HELLO | {"payload": text, "name": text, "labels": {"note": text}})
    assert made.status_code == 201
    read = client.get(f"{TASKS}/{made.json['id']}")
    found = client.get(TASKS, query_string={"q": text, "label": f"note:{text}"}).json["items"]

    assert (read.json["payload"], read.json["name"], read.json["labels"]) == (text, text, {"note": text})
    assert [task["id"] for task in found] == [made.json["id"]]
    assert "Set-Cookie" not in read.headers
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 1


@pytest.mark.parametrize("text", NASTY)
def test_injections_into_accounts_and_filters_are_data(client, text):
    key = client.post("/api/v1/api-keys", json={"name": text, "scopes": ["tasks:read"]})
    user = {"email": "i@example.com", "password": "three random words", "name": text}
    made = client.post("/api/v1/users", json=user)

    assert (key.json["name"], made.json["name"]) == (text, text)
    assert [each["name"] for each in client.get("/api/v1/users", query_string={"q": text}).json["items"]] == [text]
    assert client.get("/api/v1/audit", query_string={"action": text}).json["items"] == []
    assert client.get("/api/v1/tasks", query_string={"type": text}).status_code == 422
    for path in ("tasks/{}", "api-keys/{}", "users/{}", "tasks/{}/events"):
        assert client.get(f"/api/v1/{path.format(text)}").status_code in (404, 405)


@pytest.mark.parametrize("header", ["X-Request-ID", "Idempotency-Key", "If-Match", "Authorization", "Origin"])
def test_header_injections_come_back_in_no_header(application, admin, header):
    text = "abc%0d%0aSet-Cookie: a=b'; DROP TABLE users; --"

    answer = application.test_client().post(TASKS, json=HELLO, headers=admin.headers | {header: text})

    assert answer.status_code in (201, 401)
    assert text not in str(answer.headers)


def test_a_planted_secret_reaches_neither_an_answer_nor_the_log(build, database_url, monkeypatch, capsys):
    from app.api.tasks import routes
    from app.observability import scrubbing

    planted = "planted-Secret-0451/+x"
    monkeypatch.setenv("SMTP_PASSWORD", planted)
    scrubbing.look_again()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"could not log in with {planted}")

    monkeypatch.setattr(routes.task_service, "find", fail)
    person = make_person(database_url)
    answer = person.client(build()).get(TASKS)
    written = capsys.readouterr()
    scrubbing.look_again()

    assert answer.status_code == 500
    everything = answer.text + str(answer.headers) + written.err + written.out
    assert "could not log in with [secret]" in written.err
    assert planted not in everything
    assert json.dumps(planted)[1:-1] not in everything
    assert person.key not in everything
