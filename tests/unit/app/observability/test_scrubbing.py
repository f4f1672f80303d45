"""Keeping secrets out of texts."""

import json

import pytest

from app.observability import scrubbing
from app.observability.scrubbing import Scrubber, secrets_in

SECRET = 'p/w "0451"+ü'


@pytest.mark.parametrize(
    "text",
    [
        f"login failed for {SECRET}",
        json.dumps({"password": SECRET}),
        repr(SECRET),
        "https://host/?key=p%2Fw%20%220451%22%2B%C3%BC",
    ],
)
def test_a_secret_is_hidden_however_it_is_written(text):
    assert "0451" not in Scrubber([SECRET])(text)


@pytest.mark.parametrize(
    "text",
    [
        "Bearer tl_" + "x" * 43,
        "tlr_" + "x" * 43,
        "whsec_" + "x" * 32,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXg",
        "postgresql://user:hunter22@host/db",
    ],
)
def test_what_has_the_shape_of_a_secret_is_hidden(text):
    scrubbed = Scrubber([])(text)

    assert "[secret]" in scrubbed
    assert "xxxx" not in scrubbed
    assert "hunter22" not in scrubbed


def test_ordinary_words_are_left_alone():
    text = "task 018f3c5e of type taskledger failed: eyJ is short, tl_dr too; see http://host/path"

    assert Scrubber(["taskledger", "guest", "abc"])(text) == text


def test_secrets_are_found_by_the_names_of_variables_and_in_urls():
    environ = {
        "SMTP_PASSWORD": "first-one",
        "BROKER_URL": "amqp://user:second%2Fone@mq//",
        "FLOWER_BASIC_AUTH": "flower:third-one",
        "PAYLOAD_KEYS": "fourth-one,fifth-one",
        "PATH": "/usr/bin",
    }

    found = secrets_in(environ)

    assert {"first-one", "second/one", "third-one", "fourth-one", "fifth-one"} <= found
    assert "/usr/bin" not in found


def test_every_key_of_a_change_of_keys_is_hidden():
    environ = {
        "SECRET_KEY": "the-new-one",
        "SECRET_KEY_PREVIOUS": "the-one-before",
        "PAYLOAD_KEYS": "a2V5LW9uZQ,a2V5VHdv",
    }

    scrubbed = Scrubber(secrets_in(environ))("the-new-one the-one-before a2V5LW9uZQ a2V5VHdv")

    assert scrubbed == " ".join(["[secret]"] * 4)


def test_the_second_key_is_hidden_also_where_it_lies_in_a_file(tmp_path, monkeypatch):
    (tmp_path / "previous").write_text("0f4b9e2c" * 8)
    monkeypatch.setenv("SECRET_KEY_PREVIOUS_FILE", str(tmp_path / "previous"))
    scrubbing.look_again()
    try:
        assert scrubbing.scrub("it was " + "0f4b9e2c" * 8) == "it was [secret]"
    finally:
        monkeypatch.undo()
        scrubbing.look_again()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunt%2Fer22@a:1,b:2/db",
        "postgresql://user:hunt%2Fer22@[::1]:1,[::2]:2/db",
        "postgresql://a,b/db?user=user&password=hunt%2Fer22",
        "postgresql://a:1,b:none/db?password=hunt%2Fer22",
    ],
)
def test_the_password_of_a_database_with_several_hosts_is_hidden(url):
    scrub = Scrubber(secrets_in({"DATABASE_URL": url}))

    assert scrub("hunt/er22 was refused") == "[secret] was refused"
    assert "er22" not in scrub(f"cannot read {url}")
