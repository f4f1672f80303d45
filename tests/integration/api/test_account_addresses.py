"""Accounts of people with addresses as people have them."""

import pytest

PASSWORD = "correct horse battery staple 7"


def register(client, email):
    body = {"email": email, "password": PASSWORD, "name": "Ada"}
    return client.post("/api/v1/auth/register", json=body)


def log_in(client, email):
    return client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})


@pytest.mark.parametrize(
    ("email", "stored", "also"),
    [
        ("maximiliana.schwarzenbergerova@example.org", None, "Maximiliana.Schwarzenbergerova@EXAMPLE.org"),
        ("018f3c5e-7d2a-7000-8000-0123456789ab+tag@example.org", None, None),
        ("ada@bücher.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("Jörg@example.org", "Jörg@example.org", "Jo\u0308rg@example.org"),
        ("ada@localhost", None, None),
    ],
)
def test_who_registers_an_address_logs_in_with_every_way_of_writing_it(client, email, stored, also):
    made = register(client, email)

    assert made.status_code == 201, made.text
    assert made.json["email"] == (stored or email)
    assert log_in(client, email).status_code == 200
    assert log_in(client, also or email).status_code == 200
    assert register(client, also or email).status_code == 409


@pytest.mark.parametrize(
    "email", ["ada", "ada..b@example.org", "Ada <ada@example.org>", "ada@x\n.org", "l" * 65 + "@x.org"]
)
def test_what_is_no_address_makes_no_account(client, email):
    answer = register(client, email)

    assert answer.status_code == 422
    assert "is no e-mail address" in answer.text


def test_who_logs_in_with_what_is_no_address_is_nobody(client):
    assert log_in(client, "ada..b@example.org").status_code == 401
