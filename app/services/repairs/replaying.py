"""Replaying the next tasks of a repair: those that are dead letters still, and whose payload fits after the patch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.models import Json, RepairOutcome, RepairRecord, Status
from app.services import lifecycle
from app.services.accounts.quotas import SomeRoomOf
from app.services.repairs import patching
from app.services.repairs.patching import DoesNotFit, Patch
from app.services.repairs.preview import fitted
from app.services.tasks import checkpoints
from taskledger_sdk.registry import find_type

# A row that somebody has locked is passed over, and taken later.
_NEXT = sa.text("""
    SELECT t.id, t.owner_id, t.status, t.finished_at, t.run_id, t.attempt, t.attempt_base,
        EXISTS (SELECT FROM task_steps WHERE task_id = t.id AND kind <> 'checkpoint') AS has_steps,
        t.schema_hash, CASE WHEN :is_patched THEN t.payload END AS payload
    FROM repair_items AS i
    JOIN tasks AS t ON t.id = i.task_id
    WHERE i.repair_id = :id
        AND i.replayed_at IS NULL
        AND i.outcome IS NULL
        AND (t.owner_id IS NULL OR t.owner_id <> ALL(CAST(:without AS uuid[])))
    ORDER BY i.task_id
    LIMIT :limit
    FOR UPDATE OF t SKIP LOCKED
""")
_GONE = sa.text("""
    UPDATE repair_items AS i
    SET outcome = 'passed_over', problem = 'it is deleted', ended_at = :now
    WHERE repair_id = :id
        AND replayed_at IS NULL
        AND outcome IS NULL
        AND NOT EXISTS (SELECT FROM tasks WHERE tasks.id = i.task_id)
    RETURNING task_id
""")
_REPLAYED = sa.text("""
    UPDATE repair_items AS i
    SET replayed_at = :now, attempt = before.attempt, attempt_base = before.attempt_base, failed_at = before.failed_at,
        old_payload = CAST(:payloads AS jsonb) -> i.task_id::text,
        old_schema_hash = CAST(:hashes AS jsonb) ->> i.task_id::text
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:attempts AS integer[]), CAST(:bases AS integer[]), CAST(:failed_at AS timestamptz[])
    ) AS before (id, attempt, attempt_base, failed_at)
    WHERE i.repair_id = :id AND i.task_id = before.id
""")
_LEFT = sa.text("""
    UPDATE repair_items AS i
    SET outcome = :outcome, problem = left_out.problem, ended_at = :now
    FROM unnest(CAST(:ids AS uuid[]), CAST(:problems AS text[])) AS left_out (id, problem)
    WHERE i.repair_id = :id AND i.task_id = left_out.id
""")
NO_DEAD_LETTER = "it is no dead letter any more, or failed again after the dry run"
BEING_UNDONE = "what it has done is being undone: replay it when that has ended"


@dataclass(kw_only=True, slots=True)
class Moved:
    """What became of the tasks of one batch; `waits_for` says why some of them have to wait."""

    replayed: int = 0
    refused: int = 0
    passed_over: int = 0
    waits_for: str | None = None
    without_room: set[UUID] = field(default_factory=set)
    """Accounts whose quota has no place for all of their tasks in it."""

    @property
    def count(self) -> int:
        """All of them."""
        return self.replayed + self.refused + self.passed_over


@dataclass(kw_only=True, slots=True)
class _Sorted:
    """The tasks of a batch by what is to become of them."""

    fit: list[Any] = field(default_factory=list)
    payloads: dict[UUID, Json] = field(default_factory=dict)
    refused: dict[UUID, str] = field(default_factory=dict)
    passed_over: dict[UUID, str] = field(default_factory=dict)


def replay_next(
    session: Session, repair: RepairRecord, *, limit: int, room_of: SomeRoomOf, max_payload_bytes: int, now: datetime
) -> Moved:
    """Replay up to `limit` tasks of a repair that the caller has locked.

    Accounts without room hold nobody else up: where all of the next tasks are theirs, those behind them are taken.
    """
    operations = repair.spec["patch"]
    patch = None
    if operations is not None:
        kind = find_type(repair.type)
        if kind is None:
            return Moved(waits_for=f"the dispatcher knows no task type {repair.type}, so nothing checks the patch")
        patch = patching.Patch(operations, kind, max_payload_bytes)
    moved = Moved()
    while not moved.count:
        known = len(moved.without_room)
        _replay_batch(session, repair, patch, moved, limit=limit, room_of=room_of, now=now)
        if len(moved.without_room) == known:
            break
    return moved


def _replay_batch(
    session: Session,
    repair: RepairRecord,
    patch: Patch | None,
    moved: Moved,
    *,
    limit: int,
    room_of: SomeRoomOf,
    now: datetime,
) -> None:
    """Replay the next tasks of accounts that may have room, and note in `moved` what became of them."""
    without = list(moved.without_room)
    named = {"id": repair.id, "limit": limit, "is_patched": patch is not None, "without": without}
    rows = session.execute(_NEXT, named).all()
    if len(rows) < limit:
        moved.passed_over += len(session.execute(_GONE, {"id": repair.id, "now": now}).all())
    batch = _sort(repair, rows, patch)
    fit = _with_room(batch.fit, room_of, moved)
    replayed = _replay(session, repair, fit, now=now, patch=patch, payloads=batch.payloads)
    batch.passed_over |= {row.id: BEING_UNDONE for row in fit if row.id not in replayed}
    moved.replayed += len(replayed)
    moved.refused += _leave(session, repair, batch.refused, RepairOutcome.REFUSED, now)
    moved.passed_over += _leave(session, repair, batch.passed_over, RepairOutcome.PASSED_OVER, now)


def _sort(repair: RepairRecord, rows: Sequence[Any], patch: Patch | None) -> _Sorted:
    batch = _Sorted()
    for row in rows:
        if row.status != Status.FAILED or row.run_id is not None or row.finished_at >= repair.failed_before:
            batch.passed_over[row.id] = NO_DEAD_LETTER
            continue
        try:
            if patch is not None:
                batch.payloads[row.id] = fitted(row, patch)
            batch.fit.append(row)
        except DoesNotFit as error:
            batch.refused[row.id] = str(error)
    return batch


def _with_room(rows: Sequence[Any], room_of: SomeRoomOf, moved: Moved) -> list[Any]:
    """Those for which their owners' quotas have room, owners in order, so that two who ask do not wait crosswise."""
    by_owner: defaultdict[UUID | None, list[Any]] = defaultdict(list)
    for row in rows:
        by_owner[row.owner_id].append(row)
    fit: list[Any] = []
    for owner_id in sorted(by_owner, key=str):
        owned = by_owner[owner_id]
        room = room_of(owner_id)(len(owned))
        fit.extend(owned[: room.granted])
        if room.refusal is not None and owner_id is not None:  # the service itself has any number of places
            moved.waits_for = f"it waits for room: {room.refusal}"
            moved.without_room.add(owner_id)
    return sorted(fit, key=lambda row: row.id)


def _replay(
    session: Session,
    repair: RepairRecord,
    rows: Sequence[Any],
    *,
    now: datetime,
    patch: Patch | None,
    payloads: Mapping[UUID, Json],
) -> set[UUID]:
    """Returns those that are started over: the undo of one may have begun since the dry run."""
    if not rows:
        return set()
    ids = [row.id for row in rows]
    if patch is None:
        replayed = lifecycle.replay(session, ids, now=now)
    else:
        schema_hash = patch.kind.schema_hash
        replayed = lifecycle.replay_with(session, {id_: payloads[id_] for id_ in ids}, schema_hash=schema_hash, now=now)
        checkpoints.forget(session, list(replayed))  # they say how far other payloads were
    rows = [row for row in rows if row.id in replayed]
    patched = rows if patch is not None else []
    parameters = {
        "id": repair.id,
        "now": now,
        "ids": [row.id for row in rows],
        "attempts": [row.attempt for row in rows],
        "bases": [row.attempt_base for row in rows],
        "failed_at": [row.finished_at for row in rows],
        "payloads": to_json({str(row.id): row.payload for row in patched}),
        "hashes": to_json({str(row.id): row.schema_hash for row in patched}),
    }
    session.execute(_REPLAYED, parameters)
    return replayed


def _leave(
    session: Session, repair: RepairRecord, problems: dict[UUID, str], outcome: RepairOutcome, now: datetime
) -> int:
    if problems:
        parameters = {"ids": list(problems), "problems": list(problems.values()), "outcome": outcome, "now": now}
        session.execute(_LEFT, {"id": repair.id, **parameters})
    return len(problems)
