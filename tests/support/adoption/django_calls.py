"""A Django project that calls an adopted task within transactions: python -m … DATABASE_URL; prints nothing."""

import sys
from urllib.parse import urlsplit

import django
from celery import Celery
from django.conf import settings
from django.db import connection, transaction

from taskledger_sdk.celery import adopt, using


def database_of(url: str) -> dict[str, str]:
    """As Django names it."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path}
    name = {"NAME": parts.path.strip("/"), "USER": parts.username or "", "PASSWORD": parts.password or ""}
    place = {"HOST": parts.hostname or "", "PORT": str(parts.port or "")}
    return {"ENGINE": "django.db.backends.postgresql", **name, **place}


settings.configure(DATABASES={"default": database_of(sys.argv[1])}, CELERY_BROKER_URL="memory://")
django.setup()
app = Celery("shop", task_cls="celery.contrib.django.task:DjangoTask" if sys.argv[2:] == ["DjangoTask"] else None)
app.config_from_object("django.conf:settings", namespace="CELERY")
adopt(app)


@app.task(name="shop.note")
def note(label: str) -> str:
    """What the test looks for in the ledger."""
    return label


class Undone(Exception):
    """Rolls a block back."""


def undone(*labels: str) -> None:
    """Calls in a block that is rolled back."""
    try:
        with transaction.atomic():
            for label in labels:
                note.delay(label)
            raise Undone
    except Undone:
        return


note.delay("at once")
undone("rolled back")
with transaction.atomic():
    note.delay("committed")
    undone("of a savepoint")
    with transaction.atomic():
        note.delay("in a savepoint")
    with using(None):
        note.delay("outside")
    if hasattr(note, "delay_on_commit"):
        note.delay_on_commit("on commit")
undone("rolled back again")
try:
    with transaction.atomic(), using(None):
        note.delay("outside of what is rolled back")
        raise Undone
except Undone:
    pass
connection.close()
