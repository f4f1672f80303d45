"""DATABASE_URL: each spelling of one or several hosts is read once, to the same parameters of libpq."""

import psycopg2.extensions
import pytest
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from app.config import load
from app.config.database_address import NoAddress, read
from app.database import sqlalchemy_url

TWO = {"user": "u", "host": "a,b", "port": "1,2", "dbname": "db", "target_session_attrs": "read-write"}
SPELLINGS = [
    ("postgresql://u@a:1,b:2/db", TWO),
    ("postgres://u@a:1,b:2/db", TWO),
    ("postgresql+psycopg2://u@a:1,b:2/db", TWO),
    ("postgresql://u@/db?host=a,b&port=1,2", TWO),
    ("postgresql://u@/db?host=a%2Cb&port=1%2C2", TWO),
    ("postgresql://u@/db?host=a:1&host=b:2", TWO),
    ("postgresql://u@/db?host=a:1,b:2", TWO),
    ("postgresql:///db?user=u&host=a,b&port=1,2", TWO),
    ("postgresql://u@a,b/db?port=1,2", TWO),
    ("postgresql://u@a,b/db?port=7", TWO | {"port": "7,7"}),
    ("postgresql://u@a:1,b/db", TWO | {"port": "1,"}),
    ("postgresql://u@a:1,b:2/db?target_session_attrs=primary", TWO | {"target_session_attrs": "primary"}),
    ("postgresql://u@a:1,b:2/db?target_session_attrs=any", TWO | {"target_session_attrs": "any"}),
    ("postgresql://u@[::1]:1,[fe80::2%25eth0]:2/db", TWO | {"host": "::1,fe80::2%eth0"}),
    ("postgresql://u@/db?host=::1,::2&port=1,2", TWO | {"host": "::1,::2"}),
    ("postgresql://u@/db?host=[::1]:1,[::2]:2", TWO | {"host": "::1,::2"}),
    ("postgresql://u@%2Frun%2Fa:1,b:2/db", TWO | {"host": "/run/a,b"}),
    ("postgresql://u:p%40%2F@a:1,b:2/db", TWO | {"password": "p@/"}),
    ("postgresql://u@a:1,b:2/db?sslmode=require", TWO | {"sslmode": "require"}),
    ("postgresql://u@a:1/db", {"user": "u", "host": "a", "port": "1", "dbname": "db"}),
    ("postgresql://u@[::1]:1/db", {"user": "u", "host": "::1", "port": "1", "dbname": "db"}),
    ("postgresql:///db", {"dbname": "db"}),
    ("postgresql:///db?port=1", {"dbname": "db", "port": "1"}),
    ("postgresql:///db?host=/run/postgresql", {"dbname": "db", "host": "/run/postgresql"}),
]


@pytest.mark.parametrize(("url", "parameters"), SPELLINGS)
def test_each_spelling_is_read(url, parameters):
    assert read(url).parameters == parameters


@pytest.mark.parametrize(("url", "parameters"), SPELLINGS)
def test_sqlalchemy_passes_on_the_same_parameters(url, parameters):
    settings = load({"DATABASE_URL": url, "BROKER_URL": "amqp://h//"})

    _, given = PGDialect_psycopg2().create_connect_args(sqlalchemy_url(settings))

    assert {name: str(value) for name, value in given.items()} == parameters


@pytest.mark.parametrize(("url", "parameters"), SPELLINGS)
def test_what_is_handed_to_programs_of_postgresql_means_the_same_without_the_password(url, parameters):
    address = read(url)

    assert psycopg2.extensions.parse_dsn(address.uri(password=True)) == parameters
    assert "password" not in psycopg2.extensions.parse_dsn(address.uri(password=False))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u@h/db", "PostgreSQL URL"),
        ("postgresql://u@a,b", "names a database"),
        ("postgresql://u@a,,b/db", "A host is missing"),
        ("postgresql://u@a:1,/db", "A host is missing"),
        ("postgresql://u@a:1,b:none/db", "A port must be"),
        ("postgresql://u@a:1,b:65536/db", "A port must be"),
        ("postgresql://u@/db?host=a,b&port=1,2,3", "as many ports as hosts"),
        ("postgresql://u@[::1,b/db", "brackets"),
        ("postgresql://u@::1,b/db", "brackets"),
        ("postgresql://u:sekret@word@a,b/db", "%40"),
        ("postgresql://u@a,b/db?hostaddr=10.0.0.1", "hostaddr"),
        ("postgresql://u@a,b/db?target_session_attrs=writable", "read-write"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(url, said):
    with pytest.raises(NoAddress, match=said) as refused:
        read(url)

    assert "sekret" not in str(refused.value)


def test_a_second_connection_can_be_kept_to_the_server_of_the_first():
    address = read("postgresql://u@a:1,b/db?hostaddr=10.0.0.1,10.0.0.2")

    there = address.at("b", 5432).parameters

    assert (there["host"], there.get("port"), there["hostaddr"]) == ("b", None, "10.0.0.2")


def test_only_sockets_on_all_hosts_are_local():
    assert read("postgresql:///db?host=/run/a,/run/b").is_local
    assert not read("postgresql:///db?host=/run/a,b").is_local
