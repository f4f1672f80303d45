"""`flask --app app doctor` where it cannot look at everything: it says so, and shows no traceback."""

import base64
import json
import subprocess
import sys

import psycopg2
import pytest
from flask_migrate import downgrade

from app.config import load
from app.factory import create_app
from tests.support.servers.databases import NO_BROKER, ROOT


def findings(*options, **environment):
    """The points by name, those that are well left out."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "doctor", "--json", *options],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "BROKER_URL": NO_BROKER, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return {each["point"]: each for each in json.loads(done.stdout)["findings"] if each["state"] != "ok"}


@pytest.fixture
def old_database(databases):
    """The tables of a version from long ago."""
    url = databases.create("doctor_old")
    with create_app(load({"DATABASE_URL": url, "BROKER_URL": NO_BROKER})).app_context():
        downgrade(revision="0001")
    yield url
    databases.drop(url)


def test_tables_of_an_old_version_are_named_and_what_cannot_be_asked_of_them_is_unknown(old_database):
    found = findings(DATABASE_URL=old_database)

    assert found["migrations"]["state"] == "fault"
    assert "the database is at 0001" in found["migrations"]["seen"]
    assert "flask --app app setup" in found["database"]["advice"]
    assert found["integrity"]["state"] == "unknown"


@pytest.fixture
def audited_database(databases):
    """Tables with an audit log of three entries, the second of which somebody has changed."""
    url = databases.create("doctor_audit")
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    for _ in range(3):
        cursor.execute("INSERT INTO audit_log (at, action) VALUES (now(), 'test.done')")
    yield url, cursor
    connection.close()
    databases.drop(url)


def test_the_first_broken_entry_of_the_audit_log_is_named(audited_database):
    url, cursor = audited_database
    assert "audit log" not in findings(DATABASE_URL=url)
    cursor.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
    cursor.execute("UPDATE audit_log SET action = 'nothing' WHERE id = 2")

    for options in ((), ("--whole-audit-log",)):
        found = findings(*options, DATABASE_URL=url)["audit log"]

        assert found["state"] == "fault"
        assert found["seen"] == "entry 2 is the first that is broken: its content was changed"


def test_a_role_that_may_not_read_the_tables_is_a_fault(databases):
    url = databases.create("doctor_stranger")
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute("CREATE ROLE doctor_stranger LOGIN PASSWORD 'three random words'")
    try:
        address = url.partition("@")[2]
        found = findings(DATABASE_URL=f"postgresql://doctor_stranger:three%20random%20words@{address}")
    finally:
        connection.cursor().execute("DROP ROLE doctor_stranger")
        connection.close()
        databases.drop(url)

    assert "permission denied" in found["database"]["seen"]
    assert "three random words" not in json.dumps(found)


def test_what_does_not_answer_is_a_fault_and_what_is_behind_it_unknown():
    found = findings(DATABASE_URL="postgresql://nobody:three-random-words@127.0.0.1:1/none")

    assert {found["database"]["state"], found["broker"]["state"]} == {"fault"}
    assert {found[point]["state"] for point in ("migrations", "workers", "integrity")} == {"unknown"}


def test_beside_a_make_run_its_secrets_are_those_that_are_judged(tmp_path):
    lines = (
        "DATABASE_URL=postgresql://a:b@127.0.0.1:1/c",
        f"BROKER_URL={NO_BROKER}",
        f"SECRET_KEY={'0f4b' * 4}{'9e2c' * 8}",
    )
    (tmp_path / "embedded.env").write_text("\n".join(lines))

    found = findings(VAR_DIR=str(tmp_path), BROKER_URL="")

    assert "SECRET_KEY" not in found["secrets"]["seen"]


def test_a_number_of_processes_that_is_none_is_a_fault(database_url):
    found = findings(DATABASE_URL=database_url, WEB_CONCURRENCY="two")

    assert found["settings"]["seen"] == "WEB_CONCURRENCY is refused: 'two' is no number"
    assert found["settings"]["state"] == "fault"


def test_secrets_that_are_not_encrypted_with_the_newest_key_are_counted_until_they_are_moved(database_url, engine):
    key = base64.b64encode(b"k" * 32).decode()
    given = {"DATABASE_URL": database_url, "PAYLOAD_KEYS": key}
    with engine.begin() as connection:
        insert = "INSERT INTO webhook_secrets (owner_id, secret, updated_at) VALUES (gen_random_uuid(), '\"s\"', now())"
        connection.exec_driver_sql(insert)

    before = findings(**given)
    moved = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "reencrypt", "--json"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "BROKER_URL": NO_BROKER, **given},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert before["keys"]["state"] == "warning"
    assert "1 secrets of callbacks (in the clear)" in before["keys"]["seen"]
    assert (moved.returncode, json.loads(moved.stdout)["moved"]) == (0, 1), moved.stderr
    assert "keys" not in findings(**given)
