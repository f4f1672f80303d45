"""Text is found whatever its case, in every script, also in a database that knows the case of ASCII only."""

from collections.abc import Iterator

import psycopg2
import pytest
import sqlalchemy as sa

from app.database import Session
from app.services.sql import folding

PLACE = sa.literal("ŁÓDŹ ΣΊΣΥΦΟΣ Ёлка ÄÖÜ 100%_x")


@pytest.fixture(params=["C", "C.UTF-8"])
def other(request, database_url: str) -> Iterator[Session]:
    """A database whose own collation folds ASCII only, as older data directories have it, and one of another."""
    name = f"folding_{request.param.lower().replace('.', '_').replace('-', '_')}"
    base, _, _ = database_url.rpartition("/")
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    builtin = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
    locale = "LOCALE_PROVIDER libc LOCALE 'C'" if request.param == "C" else builtin
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}")
    engine = sa.create_engine(f"{base}/{name}".replace("postgresql://", "postgresql+psycopg2://"))
    with Session(engine) as session:
        yield session
    engine.dispose()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")
    connection.close()


@pytest.mark.parametrize("text", ["łódź", "Łódź", "σίσυφος", "ёлка", "äöü", "100%_X"])
def test_a_text_is_found_whatever_its_case(other: Session, text: str):
    assert other.scalar(sa.select(folding.holds(other, text, [PLACE])))


@pytest.mark.parametrize("text", ["lodz", "100__x", "%q"])
def test_what_is_not_there_is_not_found(other: Session, text: str):
    assert not other.scalar(sa.select(folding.holds(other, text, [PLACE])))


@pytest.mark.parametrize("names", [("pg_c_utf8",), ("pg_unicode_fast",)])
def test_each_kind_of_collation_folds(other: Session, monkeypatch, names):
    monkeypatch.setattr(folding, "PREFERRED", names)
    folding._found.clear()

    assert other.scalar(sa.select(folding.holds(other, "łódź", [PLACE])))
    folding._found.clear()


def test_without_any_of_them_the_databases_own_stands(other: Session, monkeypatch):
    monkeypatch.setattr(folding, "PREFERRED", ("no_such_collation",))
    folding._found.clear()

    assert other.scalar(sa.select(folding.holds(other, "100%_X", [PLACE])))
    folding._found.clear()


def test_a_task_is_found_by_its_name(client):
    client.post("/api/v1/tasks", json={"type": "reverse_string", "payload": "x", "name": "Do ŁÓDŹ"})

    assert [each["name"] for each in client.get("/api/v1/tasks?q=łódź").json["items"]] == ["Do ŁÓDŹ"]
