"""The same thing, written otherwise: composed and decomposed passwords, empty headers, compressed bodies."""

import gzip
import json
import unicodedata
import zlib

import pytest

from app.services.accounts import passwords

AUTH = "/api/v1/auth"
WORDS = "drei zufällige Wörter für Ångström"
FORMS = {
    "composed": unicodedata.normalize("NFC", WORDS),
    "decomposed": unicodedata.normalize("NFD", WORDS),
    "with other spaces": unicodedata.normalize("NFC", WORDS).replace(" ", "\u00a0"),
}


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch):
    """Hashes that cost nothing."""
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_nobody", [])


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("then", FORMS)
def test_a_password_is_the_same_however_its_letters_are_composed(anonymous, first, then):
    email = "ada@example.com"
    made = anonymous.post(f"{AUTH}/register", json={"email": email, "name": "Ada", "password": FORMS[first]})

    answer = anonymous.post(f"{AUTH}/login", json={"email": email, "password": FORMS[then]})
    wrong = anonymous.post(f"{AUTH}/login", json={"email": email, "password": FORMS[then].replace("ö", "o")[:-1]})

    assert (made.status_code, answer.status_code, wrong.status_code) == (201, 200, 401)


@pytest.mark.parametrize(
    ("stored", "typed"),
    [("decomposed", "decomposed"), ("decomposed", "composed"), ("composed", "decomposed"),
     ("with other spaces", "with other spaces")],
)  # fmt: skip
def test_a_hash_from_before_there_was_one_form_still_fits(stored, typed):
    before = passwords.HASHER.hash(FORMS[stored].encode())

    assert passwords.matches(before, FORMS[typed])
    assert not passwords.matches(before, "other words")


def test_a_password_is_as_long_as_it_is_read():
    with pytest.raises(passwords.Refused, match="must have 8"):
        passwords.check_new(unicodedata.normalize("NFD", "ÄÖÜé"), email="a@example.com")


@pytest.mark.parametrize("key", ["", "k" * 256])
@pytest.mark.parametrize("path", ["/tasks", "/tasks/batch", "/schedules", "/workflows/x/runs", "/webhooks"])
def test_a_bad_idempotency_key_is_named_with_its_bounds(client, key, path):
    bodies = {
        "/tasks": {"type": "reverse_string", "payload": "x"}, "/tasks/batch": {"tasks": [{}]}, "/workflows/x/runs": {},
        "/schedules": {"cron": "@daily", "task": {"type": "reverse_string", "payload": "x"}},
        "/webhooks": {"url": "https://example.com/"},
    }  # fmt: skip
    answer = client.post(f"/api/v1{path}", json=bodies[path], headers={"Idempotency-Key": key})

    assert answer.status_code == 422, answer.text
    assert answer.json["errors"] == {"Idempotency-Key": ["must have 1 to 255 characters, or be left out"]}


@pytest.mark.parametrize(("name", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", bytes)])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/tasks"), ("POST", "/auth/login"), ("PATCH", "/tasks/00000000-0000-7000-8000-000000000000"),
     ("POST", "/artifacts"), ("POST", "/tasks/batch")],
)  # fmt: skip
def test_a_compressed_body_is_refused_by_its_name(client, name, compress, method, path):
    body = compress(json.dumps({"type": "reverse_string", "payload": "x"}).encode())
    headers = {"Content-Encoding": name, "Content-Type": "application/json"}

    answer = client.open(f"/api/v1{path}", method=method, data=body, headers=headers)

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    assert f"Content-Encoding: {name}" in answer.json["detail"]
    assert answer.headers["Accept-Encoding"] == "identity"


def test_a_body_that_is_said_to_be_as_it_is_is_read(client):
    answer = client.post(
        "/api/v1/tasks", json={"type": "reverse_string", "payload": "x"}, headers={"Content-Encoding": "identity"}
    )
    assert answer.status_code == 201
