"""Versions of definitions: what a run goes by, read once a process because it never changes."""

import hashlib
import json
import threading
from collections import OrderedDict
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import WorkflowVersion, new_id
from app.models.worker import ALIVE_FOR
from taskledger_sdk.registry import TaskType, find_type
from taskledger_sdk.workflows import Definition

VERSIONS = WorkflowVersion.metadata.tables["workflow_versions"]
KEPT = 200

_cache: OrderedDict[UUID, Definition] = OrderedDict()
_lock = threading.Lock()


def digest_of(definition: Definition) -> str:
    """Equal for definitions that say the same."""
    return hashlib.sha256(json.dumps(definition.as_json(), sort_keys=True).encode()).hexdigest()


def store(session: Session, workflow_id: UUID | None, number: int, definition: Definition, *, now: datetime) -> UUID:
    """Keep a version; returns its id. Without a workflow it is that of one run, which brought it."""
    row: dict[str, Any] = {"id": new_id(), "workflow_id": workflow_id, "number": number, "created_at": now}
    row |= {"definition": definition.as_json(), "digest": digest_of(definition)}
    row["schema_hashes"] = _schema_hashes(definition)
    session.connection().execute(sa.insert(VERSIONS), row)
    version_id: UUID = row["id"]
    return version_id


# A release that nobody runs any more cannot take what this one refuses.
_ACCEPTED_UNDER = sa.text("""
    SELECT versions.schema_hashes ->> :type AS schema_hash,
        EXISTS (
            SELECT FROM workers
            WHERE stopped_at IS NULL
                AND last_seen_at > now() - make_interval(secs => :alive_seconds)
                AND workers.types ->> :type = versions.schema_hashes ->> :type
        ) AS is_live
    FROM workflow_versions AS versions
    WHERE versions.id = :id
""")


def accepted_under(session: Session, version_id: UUID, task_type: TaskType) -> str | None:
    """The other schema under which payloads of a type were accepted with a version, if somebody can still take them.

    That is a live worker which has it, or the type as it is here, by an upgrade.
    """
    values = {"id": version_id, "type": task_type.name, "alive_seconds": ALIVE_FOR.total_seconds()}
    found = session.execute(_ACCEPTED_UNDER, values).first()
    if found is None or found.schema_hash is None or found.schema_hash == task_type.schema_hash:
        return None
    return found.schema_hash if found.is_live or found.schema_hash in task_type.upgrade else None


def _schema_hashes(definition: Definition) -> dict[str, str]:
    names = {step.type for step in definition.steps.values()}
    names |= {step.compensate_with.type for step in definition.steps.values() if step.compensate_with is not None}
    return {name: kind.schema_hash for name in sorted(names) if (kind := find_type(name)) is not None}


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
