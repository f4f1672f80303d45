"""A production installation: TLS to PostgreSQL and RabbitMQ, secrets in files, a role of its own; and its doctor."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest
import requests

from tests.conftest import NO_RABBITMQ, unavailable
from tests.support.servers.certificates import make_secrets
from tests.support.servers.databases import ROOT
from tests.support.servers.postgres import NO_POSTGRES, PrivatePostgres, find_programs
from tests.support.servers.rabbitmq import PrivateRabbitMQ, find_scripts
from tests.support.servers.stack import Stack

pytestmark = pytest.mark.long

PASSWORD = "long-and-not-in-any-list"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("production") / "secrets")


@pytest.fixture(scope="module")
def database_url(folder):
    """PostgreSQL as it should be: TLS only, everything on disk, and a role that owns one database and no more."""
    if find_programs() is None:
        unavailable(NO_POSTGRES)
    server = PrivatePostgres(durable=True, tls=folder)
    try:
        server.start().wait_until_ready()
        connection = psycopg2.connect(server.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE taskledger LOGIN PASSWORD '{PASSWORD}'")
            cursor.execute("CREATE DATABASE taskledger OWNER taskledger")
        connection.close()
        address = f"postgresql://taskledger:{PASSWORD}@127.0.0.1:{server.port}/taskledger"
        yield f"{address}?sslmode=verify-full&sslrootcert={folder}/ca.pem"
    finally:
        server.end()


@pytest.fixture(scope="module")
def broker_url(folder):
    scripts = find_scripts()
    if scripts is None:
        unavailable(NO_RABBITMQ)
    server = PrivateRabbitMQ(scripts, tls=folder)
    server.start_seconds = 180.0
    try:
        server.start().wait_until_ready()
        yield server.url(server.take_vhost())
    finally:
        server.end()


@pytest.fixture(scope="module")
def production(folder, database_url, broker_url, tmp_path_factory):
    """What docs/how-to/production-checklist.md asks for."""
    given = {
        "app_env": "production",
        "secret_key_file": str(folder / "secret_key"),
        "payload_keys_file": str(folder / "payload_keys"),
        "broker_ca_file": str(folder / "ca.pem"),
        "artifacts_url": f"file://{tmp_path_factory.mktemp('artifacts')}",
        "registration": "closed",
        "metrics_allow": "127.0.0.1",
        "log_format": "json",
    }
    stack = Stack(database_url=database_url, broker_url=broker_url, **given)
    flask(stack.environment, "setup")
    with stack:
        yield stack


def flask(environment, *arguments, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done


def findings(environment, *, status):
    answer = json.loads(flask(environment, "doctor", "--json", status=status).stdout)
    return {found["point"]: found for found in answer["findings"] if found["state"] not in ("ok", "unknown")}, answer


def test_tasks_run_over_verified_connections(production):
    task_id = production.submit("reverse_string", "over TLS")

    production.wait_until("COMPLETED", [task_id])

    encrypted = production.rows(
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE backend_type = 'client backend'"
    )
    assert [row["ssl"] for row in encrypted] == [True]
    ready = requests.get(f"{production.api.url}/health/ready", timeout=10)
    assert ready.status_code == 200, ready.text


def test_a_broker_whose_certificate_names_another_host_is_not_trusted(production, broker_url):
    """127.0.0.2 is the same server, and not in its certificate."""
    elsewhere = production.environment | {"BROKER_URL": broker_url.replace("127.0.0.1", "127.0.0.2")}
    script = (
        "from app.messaging import Publisher; p = Publisher()\n"
        "try: p.connect()\nexcept p.errors as error: print(type(error).__name__, error)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=elsewhere, capture_output=True, text=True, timeout=60
    )

    assert "127.0.0.2" in done.stdout, done.stdout + done.stderr
    assert "refused" not in done.stdout


def test_the_doctor_finds_no_fault_and_nothing_to_warn_of(production, tmp_path, monkeypatch):
    flask(production.environment, "backup", str(tmp_path / "backup"))

    found, answer = findings(production.environment, status=0)

    # Whether this very process has a memory limit depends on where the tests run.
    assert set(found) - {"memory limit", "disk"} == set()
    assert {each["point"] for each in answer["findings"]} >= {
        "secrets", "encrypted connections", "database connection", "clock", "durability", "migrations", "connections",
        "autovacuum", "backups", "broker", "longest delivery", "broker takes messages", "dispatcher", "workers",
        "task types", "payload schemas", "artifact store", "disk", "integrity", "rate limits", "monitoring",
    }  # fmt: skip


def test_the_doctor_names_every_fault_of_a_bad_installation(production, tmp_path):
    """It starts, and nothing about it is as it should be."""
    bad = production.environment | {
        "APP_ENV": "development",
        "SECRET_KEY_FILE": "",
        "SECRET_KEY": "changeme",
        "PAYLOAD_KEYS_FILE": "",
        "BROKER_URL": "amqp://guest:guest@127.0.0.1:1//",
        "FLOWER_BASIC_AUTH": "admin:admin",
        "FLASK_DEBUG": "1",
        "REGISTRATION": "open",
        "RATE_LIMIT_CREATE": "",
        "METRICS_ALLOW": "",
        "LOG_LEVEL": "DEBUG",
        "RETENTION_COMPLETED_DAYS": "0",
        "ARTIFACTS_URL": "file:///proc/nowhere",
        "DATABASE_POOL_SIZE": "500",
    }
    production.rows("ALTER TABLE tasks SET (autovacuum_enabled = false)")
    production.rows("UPDATE alembic_version SET version_num = version_num || '_old'")
    production.worker.kill()
    try:
        found, answer = findings(bad, status=1)
    finally:
        production.rows("UPDATE alembic_version SET version_num = replace(version_num, '_old', '')")
        production.rows("ALTER TABLE tasks RESET (autovacuum_enabled)")
        production.worker.start().wait_until_ready()

    faults = {point for point, each in found.items() if each["state"] == "fault"}
    assert faults >= {
        "production mode", "secrets", "debug mode", "encrypted connections", "rate limits", "artifact store",
        "broker", "migrations", "autovacuum", "connections at peak",
    }  # fmt: skip
    assert set(found) - faults >= {"encrypted payloads", "registration", "logs", "retention", "monitoring"}
    secrets = [each["seen"] for each in answer["findings"] if each["point"] == "secrets"]
    assert {seen.split()[0] for seen in secrets} == {"SECRET_KEY", "BROKER_URL", "FLOWER_BASIC_AUTH"}
    assert all(each["advice"] for each in found.values())
    assert not [secret for secret in ("guest:guest", "changeme", PASSWORD) if secret in json.dumps(answer)]


def test_the_doctor_tells_what_keeps_the_service_from_starting(tmp_path):
    environment = {
        "PATH": "/usr/bin:/bin",
        "APP_ENV": "production",
        "DATABASE_URL": "postgresql://taskledger:taskledger@127.0.0.1/taskledger",
        "BROKER_URL": "kafka://127.0.0.1",
        "PORT": "http",
        "SECRET_KEY": "x" * 40,
    }

    answer = json.loads(flask(environment, "doctor", "--json", status=1).stdout)

    said = [f"{each['point']}: {each['seen']}" for each in answer["findings"] if each["state"] == "fault"]
    for start in (
        "secrets: SECRET_KEY", "secrets: DATABASE_URL", "encrypted connections: DATABASE_URL",
        "encrypted connections: BROKER_URL", "settings: BROKER_URL is refused", "settings: PORT is refused",
    ):  # fmt: skip
        assert [each for each in said if each.startswith(start)], (start, said)
    assert len(said) == len(set(said)) == 6


@pytest.mark.parametrize("command", [("setup",), ("integrity", "--json"), ("db", "upgrade")])
def test_other_commands_say_what_is_wrong_instead_of_showing_a_traceback(command):
    environment = {"PATH": "/usr/bin:/bin", "VAR_DIR": "/nonexistent/taskledger"}

    done = flask(environment, *command, status=1)

    assert "DATABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr
