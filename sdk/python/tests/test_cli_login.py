"""`tledger login`, `logout`, `whoami`, `profiles`; keys stay out of everything that is shown."""

import json

import pseudo_terminal
import pytest

from taskledger_sdk import credentials

ME = {
    "email": "ada@example.com", "name": "Ada", "role": "user", "scopes": ["tasks:read"], "allowed_types": None,
    "allowed_queues": None, "quotas": {"waiting_tasks": {"used": 1, "allowed": None}},
}  # fmt: skip


@pytest.fixture
def nobody(tledger, monkeypatch):
    """Nobody is logged in, and the environment names no service."""
    monkeypatch.delenv("TASKLEDGER_URL")
    monkeypatch.delenv("TASKLEDGER_API_KEY")
    return tledger


def kept():
    return credentials.load(credentials.path_of_file(), warn=pytest.fail)


def test_a_key_from_stdin_is_checked_and_kept_by_profile(nobody, service):
    service.answer("GET", "/auth/me", ME)

    done = nobody("login", "--url", service.url, "--profile", "work", "--key-stdin", stdin="tl_given\n")

    assert done.exit_code == 0, done.stderr
    assert "tl_given" not in done.output
    assert {name: (each.url, each.api_key) for name, each in kept().items()} == {"work": (service.url, "tl_given")}
    assert service.requests[0].headers["authorization"] == "Bearer tl_given"
    assert "ada@example.com" in nobody("whoami", "--profile", "work").stdout


def test_a_key_that_is_refused_is_not_kept(nobody, service):
    service.refuse("GET", "/auth/me", 401, "unauthenticated", "The API key is unknown.")

    done = nobody("login", "--url", service.url, "--key-stdin", stdin="tl_given\n")

    assert (done.exit_code, kept()) == (4, {})
    assert "tl_given" not in done.output


def test_a_password_makes_a_key_for_this_machine_and_the_log_in_ends(nobody, service):
    service.answer("POST", "/auth/login", {"access_token": "access", "refresh_token": "refresh"})
    service.answer("POST", "/api-keys", {"id": "k-1", "key": "tl_made"}, status=201)
    service.answer("POST", "/auth/logout", b"", status=204)
    service.answer("GET", "/auth/me", ME)

    arguments = ("login", "--url", service.url, "--email", "ada@example.com", "--password-stdin")
    done = nobody(*arguments, stdin="three random words\n")

    assert done.exit_code == 0, done.stderr
    assert kept()["default"].api_key == "tl_made"
    asked = [(each.path, each.headers.get("authorization")) for each in service.requests]
    assert asked == [
        ("/auth/login", None),
        ("/api-keys", "Bearer access"),
        ("/auth/logout", "Bearer access"),
        ("/auth/me", "Bearer tl_made"),
    ]
    assert service.requests[1].body["scopes"] == ["tasks:read", "tasks:write"]


def test_a_wrong_password_is_not_permitted(nobody, service):
    service.refuse("POST", "/auth/login", 401, "unauthenticated", "The e-mail address or the password is wrong.")

    arguments = ("login", "--url", service.url, "--email", "ada@example.com", "--password-stdin")
    done = nobody(*arguments, stdin="wrong\n")

    assert (done.exit_code, kept()) == (4, {})
    assert "the password is wrong" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("login",), ("login", "--url", "http://127.0.0.1:9"), ("login", "--email", "a@b.c")]
)
def test_where_nobody_can_be_asked_an_option_is_named(nobody, arguments):
    done = nobody(*arguments)

    assert done.exit_code == 2
    assert "stdin" in done.stderr


def test_nobody_is_told_to_log_in(nobody, service):
    done = nobody("--url", service.url, "tasks", "list")

    assert (done.exit_code, service.requests) == (4, [])
    assert f"tledger login --url {service.url}" in done.stderr


def test_logging_out_forgets_one_profile_or_all(nobody):
    profile = credentials.Profile(url="https://example.org", api_key="tl_x")
    credentials.store(credentials.path_of_file(), {"default": profile, "work": profile, "home": profile})

    listed = json.loads(nobody("profiles", "--json").stdout)
    one = nobody("logout", "--profile", "work")
    assert set(kept()) == {"default", "home"}
    every = nobody("logout", "--all")

    assert kept() == {}
    assert [each["profile"] for each in listed["items"]] == ["default", "home", "work"]
    assert "tl_x" not in one.output + every.output


def test_a_person_types_a_key_that_nobody_sees(nobody, service, tmp_path):
    service.answer("GET", "/auth/me", ME)

    answers = [("Address of the service", service.url), ("API key", "tl_typed")]
    status, seen = pseudo_terminal.run(["login"], environment={"XDG_CONFIG_HOME": str(tmp_path)}, answers=answers)

    assert status == 0, seen
    assert "Logged in" in seen
    assert "tl_typed" not in seen
    assert "tl_typed" in (tmp_path / "taskledger" / "credentials.json").read_text()
