"""`flask --app app setup` and `flask --app app admin`."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.cli import register
from app.factory import create_app
from app.services.accounts import passwords
from app.services.accounts.secrets import new_api_key
from tests.support.people import make_person


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch):
    """Hashes that cost nothing."""
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def command(settings, engine):
    """Runs a command of an application with other settings."""

    def run(*arguments, text=None, **other):
        application = create_app(replace(settings, **other))
        register(application)
        return application.test_cli_runner().invoke(args=arguments, input=text)

    return run


def test_setup_makes_the_first_admin_and_their_key_once(command, anonymous, session):
    first = {"admin_email": "root@example.com", "admin_password": "three random words", "admin_api_key": new_api_key()}

    said = [command("setup", **first).output for _ in range(2)]

    assert "Made the admin root@example.com" in said[0]
    assert "Made" not in said[1]
    key = {"Authorization": f"Bearer {first['admin_api_key']}"}
    assert anonymous.get("/api/v1/users", headers=key).status_code == 200
    assert session.scalar(sa.text("SELECT count(*) FROM api_keys")) == 1
    assert first["admin_api_key"] not in said[0]


def test_setup_refuses_a_weak_password_and_says_so(command):
    result = command("setup", admin_email="root@example.com", admin_password="password")

    assert result.exit_code == 1
    assert "most common passwords" in result.output


def test_setup_without_an_admin_in_the_environment_only_migrates(command, session):
    assert command("setup").exit_code == 0
    assert session.scalar(sa.text("SELECT count(*) FROM users")) == 0


def test_an_admin_is_made_with_a_key(command, anonymous):
    result = command(
        *("admin", "create", "--email", "root@example.com", "--key", "shell", "--password-stdin"),
        text="three random words\n",
    )

    key = result.output.split()[-1]
    answer = anonymous.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {key}"})
    assert (answer.json["email"], answer.json["role"]) == ("root@example.com", "admin")


def test_an_existing_account_becomes_an_admin(command, database_url, session):
    person = make_person(database_url)

    assert command("admin", "create", "--email", person.email.upper()).exit_code == 0

    assert session.scalar(sa.text("SELECT role FROM users")) == "admin"
