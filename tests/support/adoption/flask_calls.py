"""A Flask application with Flask-SQLAlchemy that calls an adopted task within its session: python -m … DATABASE_URL."""

import sys

from celery import Celery
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from taskledger_sdk.celery import adopt, using

flask = Flask("shop")
flask.config["SQLALCHEMY_DATABASE_URI"] = sys.argv[1]
db = SQLAlchemy(flask)
app = Celery("shop", broker="memory://")
adopt(app)


@app.task(name="shop.note")
def note(label: str) -> str:
    """What the test looks for in the ledger."""
    return label


note.delay("at once")
with flask.app_context():
    with using(db.session):
        note.delay("rolled back")
        db.session.rollback()
        db.session.execute(text("SELECT 1"))
        note.delay("committed")
        savepoint = db.session.begin_nested()
        note.delay("of a savepoint")
        savepoint.rollback()
        with db.session.begin_nested():
            note.delay("in a savepoint")
        db.session.commit()
        note.delay("never committed")
    note.delay("outside")
