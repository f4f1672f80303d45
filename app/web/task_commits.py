"""Storing new tasks: requests of one process that arrive together share an INSERT and its commit."""

from collections.abc import Sequence

import sqlalchemy as sa
from flask import Flask, current_app

from app.database import is_away
from app.models import TaskRecord
from app.services.submission import insertion
from app.web.group_commit import Together

MOST_TOGETHER = 200


def store_together(draft: TaskRecord) -> TaskRecord:
    """Store one task with those of other requests; returns it once it is durable, as the triggers left it."""
    found: Together[TaskRecord, TaskRecord] = current_app.extensions["taskledger.storing"]
    return found.do(draft)


def register(app: Flask) -> None:
    """Give an application its place to meet."""
    engine: sa.Engine = app.extensions["taskledger.autocommit"]

    def store(drafts: Sequence[TaskRecord]) -> list[TaskRecord]:
        with engine.connect() as connection:
            return insertion.insert(connection, drafts)

    app.extensions["taskledger.storing"] = Together(store, most=MOST_TOGETHER, is_for_all=is_away)
