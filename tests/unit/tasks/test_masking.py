"""What is shown of payloads: everything but their secrets."""

from dataclasses import dataclass
from typing import Literal

import pytest

from taskledger_sdk import registry
from taskledger_sdk.payload import rule
from taskledger_sdk.registry import load_types, task_type
from tasks.masking import MASKED, is_secret_name, mask_named, mask_url, masked


@dataclass(frozen=True, kw_only=True)
class Door:
    kind: Literal["door"]
    code: str = rule(secret=True)


@dataclass(frozen=True, kw_only=True)
class Window:
    kind: Literal["window"]
    width: int = 1


@dataclass(frozen=True, kw_only=True)
class House:
    street: str
    alarm: str | None = rule(default=None, secret=True)
    links: list[str] = rule(default_factory=list, secret=lambda links: [mask_url(link) for link in links])
    doors: dict[str, Door] = rule(default_factory=dict)
    openings: list[Door | Window] = rule(default_factory=list)


@pytest.fixture(autouse=True)
def _own_types(monkeypatch):
    """Types that only these tests know."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)

    @task_type("test_house")
    def lock(_task: object, _payload: House) -> None:
        """Lock it."""

    @task_type("test_no_secrets")
    def keep(_task: object, _payload: list[str]) -> None:
        """Keep it."""


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"street": "A", "alarm": "1234"}, {"street": "A", "alarm": MASKED}),
        ({"street": "A", "alarm": None}, {"street": "A", "alarm": None}),
        ({"doors": {"front": {"kind": "door", "code": "1"}}}, {"doors": {"front": {"kind": "door", "code": MASKED}}}),
        (
            {"openings": [{"kind": "door", "code": "1"}, {"kind": "window", "width": 2}]},
            {"openings": [{"kind": "door", "code": MASKED}, {"kind": "window", "width": 2}]},
        ),
        ({"links": ["https://a/?token=x"]}, {"links": [f"https://a/?token={MASKED}"]}),
        ({"street": "A", "old_password": "x", "old": 1}, {"street": "A", "old_password": MASKED, "old": 1}),
        ("a text", "a text"),
        (None, None),
    ],
)
def test_declared_secrets_are_hidden_wherever_they_stand(payload, shown):
    assert masked("test_house", payload) == shown


def test_the_payload_itself_is_not_changed():
    payload = {"street": "A", "alarm": "1234"}

    masked("test_house", payload)

    assert payload == {"street": "A", "alarm": "1234"}


def test_a_type_without_secrets_shows_all():
    assert masked("test_no_secrets", ["token=1"]) == ["token=1"]


def test_the_payload_of_a_type_that_is_gone_hides_what_is_named_like_a_secret():
    assert masked("no_such_type_any_more", {"password": "x", "to": [{"apiKey": 1}]}) == {
        "password": MASKED,
        "to": [{"apiKey": MASKED}],
    }


SECRET_NAMES = """
    Authorization Proxy-Authorization Cookie Set-Cookie X-Api-Key api_key apikey apiKey X-Auth-Token password key sig
    client_secret X-Hub-Signature-256 PRIVATE-TOKEN X-Amz-Security-Token
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_these_names_are_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["Accept", "Content-Type", "Idempotency-Key", "monkey", "keyboard", "author", "X-Request-Id", "design", "ETag"],
)
def test_these_names_are_not(name):
    assert not is_secret_name(name)


def test_http_request_hides_credentials_in_headers_url_and_body():
    payload = {
        "url": "https://api.example.org/x?page=2&access_token=abc",
        "headers": {"Authorization": "Bearer abc", "Cookie": "a=b", "X-Api-Key": "k", "Accept": "*/*"},
        "body": {"user": "ann", "password": "p"},
    }

    assert masked("http_request", payload) == {
        "url": f"https://api.example.org/x?page=2&access_token={MASKED}",
        "headers": {"Authorization": MASKED, "Cookie": MASKED, "X-Api-Key": MASKED, "Accept": "*/*"},
        "body": {"user": "ann", "password": MASKED},
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h/x", f"https://u:{MASKED}@h/x"),
        ("https://h/x?a=1&b=2", "https://h/x?a=1&b=2"),
        ("https://[", MASKED),
        (5, 5),
    ],
)
def test_a_url_shows_no_password(url, shown):
    assert mask_url(url) == shown


def test_names_are_looked_for_at_any_depth():
    assert mask_named([{"a": {"token": "x", "n": None}}]) == [{"a": {"token": MASKED, "n": None}}]
