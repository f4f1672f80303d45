"""Unfinished tasks against the schemas of a new release; what was accepted under an equal schema is not read."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, Unreadable, use_indexes
from app.database.values import from_json
from app.services.encryption import ciphertexts
from app.services.encryption.ciphertexts import CannotDecrypt
from app.services.releases.findings import Findings, Kind, Sample, Upgraded
from app.services.releases.json_schema import Fault
from app.services.releases.new_release import NewRelease

MAX_OF_A_TYPE, MAX_OF_ALL = 100_000, 500_000
"""So many payloads are read; of more, every so manieth."""
PAGE = 2_000

# By the partial index on due_at: what has finished is not looked at, however much of it there is.
_COUNTS = sa.text("""
    SELECT type, schema_hash, count(*) AS tasks, (array_agg(id ORDER BY id))[1] AS first
    FROM tasks
    WHERE due_at IS NOT NULL
    GROUP BY type, schema_hash
""")
_PAYLOADS = sa.text("""
    SELECT tasks.id, tasks.type, tasks.schema_hash, CAST(tasks.payload AS text) AS payload
    FROM tasks
    JOIN unnest(CAST(:types AS text[]), CAST(:steps AS integer[])) AS wanted (type, step) ON wanted.type = tasks.type
    WHERE tasks.due_at IS NOT NULL
        AND (tasks.schema_hash IS NULL OR tasks.type || ' ' || tasks.schema_hash <> ALL(CAST(:known AS text[])))
        AND (wanted.step = 1 OR mod(uuid_hash(tasks.id), wanted.step) = 0)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What the counts say without any payload."""

    unchanged: int
    upgraded: list[Upgraded]


def look(session: Session, release: NewRelease, findings: Findings, *, payload_keys: ciphertexts.Keys) -> Counted:
    """Find the unfinished tasks that the release refuses, or has no type for."""
    use_indexes(session)
    unchanged, upgraded, different = 0, list[Upgraded](), Counter[str]()
    for row in session.execute(_COUNTS):
        if release.is_gone(row.type):
            findings.gone(Kind.TASK, row.type, count=row.tasks, sample=Sample(id=str(row.first)))
        elif row.type in release.types and release.looks_at(row.type):
            kind = release.types[row.type]
            if row.schema_hash == kind.schema_hash:
                unchanged += row.tasks
            elif row.schema_hash in kind.upgrade:
                upgraded.append(Upgraded(type=row.type, schema_hash=row.schema_hash, count=row.tasks))
            else:
                different[row.type] += row.tasks
    _look_at_payloads(session, release, findings, different, payload_keys)
    return Counted(unchanged=unchanged, upgraded=upgraded)


def _look_at_payloads(
    session: Session, release: NewRelease, findings: Findings, different: Counter[str], payload_keys: ciphertexts.Keys
) -> None:
    checked: Counter[str] = Counter()
    for task_id, type_name, schema_hash, text in _payloads(session, release, different):
        checked[type_name] += 1
        payload = _read(text, task_id, payload_keys)
        if isinstance(payload, Unreadable):
            findings.unreadable[type_name] += 1
            continue
        schema = release.types[type_name].schema
        if not schema.takes(payload):
            faults = [Fault(("payload", *fault.path), fault.message, fault.keyword) for fault in schema.faults(payload)]
            findings.refused(Kind.TASK, type_name, schema_hash, faults, found_id=str(task_id), name=None)
    findings.checked[Kind.TASK] += checked.total()
    for type_name, step in _steps(different).items():
        if step > 1:
            findings.sample(Kind.TASK, type_name, checked=checked[type_name], of=different[type_name])


def _payloads(
    session: Session, release: NewRelease, different: Counter[str]
) -> Iterator[tuple[UUID, str, str | None, str]]:
    """Those that have to be read, a page at a time: all at once could be gigabytes."""
    if not different:
        return
    steps = _steps(different)
    known = [f"{name} {each}" for name in steps for each in release.types[name].understood]
    values = {"types": list(steps), "steps": list(steps.values()), "known": known}
    rows = session.execute(_PAYLOADS, values, execution_options={"stream_results": True, "yield_per": PAGE})
    for row in rows:
        yield row.id, row.type, row.schema_hash, row.payload


def _steps(different: Mapping[str, int]) -> dict[str, int]:
    """Of each type, every how manieth task is read. Pure."""
    fewer = math.ceil(sum(different.values()) / MAX_OF_ALL)
    return {name: max(fewer, math.ceil(tasks / MAX_OF_A_TYPE)) for name, tasks in different.items()}


def _read(text: str, task_id: UUID, payload_keys: ciphertexts.Keys) -> Any:
    payload = from_json(text)
    if '"$sealed"' not in text:
        return payload
    try:
        return ciphertexts.decrypted(payload, task_id, "payload", keys=payload_keys)
    except (CannotDecrypt, json.JSONDecodeError):
        return Unreadable({"$unreadable": "it is encrypted, and no key opens it"})
