"""Versions of definitions: what a run goes by, read once a process because it never changes."""

import hashlib
import json
import threading
from collections import OrderedDict
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import WorkflowVersion, new_id
from taskledger_sdk.workflows import Definition

VERSIONS = WorkflowVersion.metadata.tables["workflow_versions"]
KEPT = 200

_cache: OrderedDict[UUID, Definition] = OrderedDict()
_lock = threading.Lock()


def digest_of(definition: Definition) -> str:
    """Equal for definitions that say the same."""
    return hashlib.sha256(json.dumps(definition.as_json(), sort_keys=True).encode()).hexdigest()


def store(session: Session, workflow_id: UUID, number: int, definition: Definition, *, now: datetime) -> UUID:
    """Keep a version; returns its id."""
    row: dict[str, Any] = {"id": new_id(), "workflow_id": workflow_id, "number": number, "created_at": now}
    row |= {"definition": definition.as_json(), "digest": digest_of(definition)}
    session.connection().execute(sa.insert(VERSIONS), row)
    version_id: UUID = row["id"]
    return version_id


def definition_of(session: Session, version_id: UUID) -> Definition:
    """What a version says."""
    with _lock:
        if version_id in _cache:
            _cache.move_to_end(version_id)
            return _cache[version_id]
    chosen = sa.select(VERSIONS.c.definition).where(VERSIONS.c.id == version_id)
    definition = Definition.stored(session.connection().execute(chosen).scalar_one())
    with _lock:
        _cache[version_id] = definition
        while len(_cache) > KEPT:
            _cache.popitem(last=False)
    return definition
