"""Which service, and as whom: arguments, the environment, the file, and what runs in the directory."""

import json
import os
import stat

import pytest

from taskledger_sdk import connection, credentials
from taskledger_sdk.connection import Wanted, checked_key
from taskledger_sdk.credentials import Profile
from taskledger_sdk.http.errors import NotConfigured

PROFILES = {
    "default": Profile(url="https://one.example.org", api_key="tl_one"),
    "two": Profile(url="https://two.example.org", api_key="tl_two"),
    "plain": Profile(url="http://inside:8000", api_key="tl_plain", may_be_plain=True),
}


@pytest.fixture
def kept(home):
    """The file, with profiles."""
    path = credentials.path_of_file()
    credentials.store(path, PROFILES)
    return path


def found(home, *, environ=None, **wanted):
    given = {"XDG_CONFIG_HOME": str(home / "config"), **(environ or {})}
    used = connection.find(Wanted(**wanted), environ=given, directory=home / "here")
    return used.url, used.api_key


@pytest.mark.parametrize(
    ("wanted", "environ", "expected"),
    [
        ({}, {}, ("https://one.example.org", "tl_one")),
        ({"profile": "two"}, {}, ("https://two.example.org", "tl_two")),
        ({}, {"TASKLEDGER_PROFILE": "two"}, ("https://two.example.org", "tl_two")),
        ({"profile": "plain"}, {}, ("http://inside:8000", "tl_plain")),
        (
            {},
            {"TASKLEDGER_URL": "https://env.example.org", "TASKLEDGER_API_KEY": "tl_env"},
            ("https://env.example.org", "tl_env"),
        ),
        ({}, {"TASKLEDGER_API_KEY": "tl_env"}, ("https://one.example.org", "tl_env")),
        (
            {"profile": "two"},
            {"TASKLEDGER_URL": "https://env.example.org", "TASKLEDGER_API_KEY": "tl_env"},
            ("https://two.example.org", "tl_two"),
        ),
        (
            {"url": "https://arg.example.org"},
            {"TASKLEDGER_URL": "https://env.example.org", "TASKLEDGER_API_KEY": "tl_env"},
            ("https://arg.example.org", "tl_env"),
        ),
        ({}, {"TASKLEDGER_URL": "https://other.example.org"}, ("https://other.example.org", "")),
        ({"url": "https://other.example.org"}, {}, ("https://other.example.org", "")),
        ({"url": "https://one.example.org/api/v1/"}, {}, ("https://one.example.org", "tl_one")),
    ],
)
def test_arguments_win_over_the_environment_and_that_over_the_file(home, kept, wanted, environ, expected):
    assert found(home, environ=environ, **wanted) == expected


def test_without_anything_it_is_this_machine_and_nobody(home):
    assert found(home) == ("http://127.0.0.1:8000", "")


def test_a_profile_that_is_not_there_is_told_with_those_that_are(home, kept):
    with pytest.raises(NotConfigured, match="default, plain, two"):
        found(home, profile="three")


def embedded(home, url="http://127.0.0.1:8123", mode=0o600):
    path = home / "here" / "var" / "embedded.env"
    path.parent.mkdir()
    path.write_text(f"# Written by make run\nADMIN_API_KEY=tl_local\nTASKLEDGER_URL={url}\n")
    path.chmod(mode)


def test_a_service_that_runs_in_the_directory_needs_no_log_in(home):
    embedded(home)

    assert found(home) == ("http://127.0.0.1:8123", "tl_local")
    assert found(home, url="http://127.0.0.1:9") == ("http://127.0.0.1:9", "")


@pytest.mark.parametrize(
    ("url", "mode"), [("https://elsewhere.example.org", 0o600), ("http://10.0.0.1:8000", 0o600), (None, 0o622)]
)
def test_a_directory_cannot_send_anybody_elsewhere(home, url, mode):
    embedded(home, url or "http://127.0.0.1:8123", mode)

    assert found(home) == ("http://127.0.0.1:8000", "")


def test_the_file_is_private_and_read_as_it_was_written(kept):
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert credentials.load(kept, warn=pytest.fail) == PROFILES
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]


def test_a_file_that_others_may_read_is_mended_with_a_word(kept):
    kept.chmod(0o644)
    said = []

    assert credentials.load(kept, warn=said.append) == PROFILES

    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "could be read by others" in said[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"profiles": []}', '{"profiles": {"a": {"url": 1}}}', "[" * 100_000])
def test_a_damaged_file_is_named_and_not_overwritten(kept, text):
    kept.write_text(text)

    with pytest.raises(NotConfigured, match="damaged"):
        credentials.load(kept, warn=pytest.fail)


def test_a_failed_write_leaves_the_old_file(kept, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotConfigured, match="No space left"):
        credentials.store(kept, {})

    assert set(json.loads(kept.read_text())["profiles"]) == set(PROFILES)
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_CONFIG_HOME": "/etc/x", "HOME": "/h"}, "/etc/x/taskledger/credentials.json"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/taskledger/credentials.json"),
        ({"HOME": "/h"}, "/h/.config/taskledger/credentials.json"),
    ],
)
def test_the_file_is_where_the_specification_wants_it(environ, path):
    assert str(credentials.path_of_file(environ)) == path


@pytest.mark.parametrize("key", ["tl_a b", "tl_a\nX-Evil: 1", "tl_ü"])
def test_what_cannot_stand_in_a_header_is_no_key_and_is_not_repeated(key):
    with pytest.raises(NotConfigured) as refused:
        checked_key(key, "TASKLEDGER_API_KEY")

    assert key not in str(refused.value)


def test_a_key_is_not_part_of_what_is_shown_of_a_connection():
    assert "tl_one" not in repr(PROFILES["default"])
    assert "tl_one" not in repr(connection.Connection(url="https://x", api_key="tl_one"))
