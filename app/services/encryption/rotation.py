"""Everything that is encrypted in rows, place by place: which key each value needs, and moving it to the newest one.

Each place is read in the order of its primary key and in short statements, beside running processes: what has been
moved is not found again, so that whoever is interrupted starts over and goes on where it was.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, from_json, to_json, use_indexes
from app.services.encryption import ciphertexts
from taskledger_sdk.registry import find_type

T = TypeVar("T")
Transact: TypeAlias = Callable[[Callable[[Session], T]], T]
"""Runs its argument in a transaction of its own, such as app.database.in_transaction."""

CLEAR = "none"
"""Stands for the key of a webhook's secret that was stored before there was a key: it lies there in the clear."""
ROWS_A_LOOK = 5_000
"""Rows that one statement looks at; it takes milliseconds, and at most a second or two where payloads are large."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A column with encrypted values; `bound` is what a value is bound to beside the id in `holder`."""

    name: str
    table: str
    key: str
    key_type: str
    first: str  # less than any key
    holder: str
    value: str
    written: str  # what the column is set to, where :new stands for the new value
    column: str
    bound: str
    type_: str = "NULL"
    may_be_clear: bool = False
    only: str = "true"  # which rows of the table


def _of_task(name: str, column: str) -> Place:
    return Place(name=name, table="tasks", key="id", key_type="uuid", first=str(UUID(int=0)), holder="id", value=column,
                 written="free.new", column=column, bound=column, type_="type")  # fmt: skip


def _of_rows(name: str, table: str, column: str, bound: str, holder: str, *, only: str = "true") -> Place:
    """Of a table with several rows for each holder: in the order in which they lie; one that moves is met again."""
    return Place(name=name, table=table, key="ctid", key_type="tid", first="(0,0)", holder=holder, value=column,
                 written="free.new", column=column, bound=bound, only=only,
                 type_=f"(SELECT type FROM tasks WHERE tasks.id = {table}.{holder})")  # fmt: skip


def _of_webhooks(name: str, table: str, key: str, column: str) -> Place:
    return Place(name=name, table=table, key=key, key_type="uuid", first=str(UUID(int=0)), holder="owner_id",
                 value=column, written="free.new", column=column, bound="webhook", may_be_clear=True)  # fmt: skip


# A secret becomes the previous one, and a payload moves into the history, never the reverse: so it is met there.
PLACES = (
    _of_webhooks("secrets of webhooks", "webhooks", "id", "secret"),
    _of_webhooks("previous secrets of webhooks", "webhooks", "id", "previous_secret"),
    _of_webhooks("secrets of callbacks", "webhook_secrets", "owner_id", "secret"),
    _of_webhooks("previous secrets of callbacks", "webhook_secrets", "owner_id", "previous_secret"),
    _of_task("payloads of tasks", "payload"),
    _of_task("results of tasks", "result"),
    Place(
        name="checkpoints of tasks",
        table="task_steps",
        key="task_id",
        key_type="uuid",
        first=str(UUID(int=0)),
        holder="task_id",
        value="result",
        written="free.new",
        column="result",
        bound="checkpoint",
        type_="(SELECT type FROM tasks WHERE tasks.id = task_steps.task_id)",
        only="kind = 'checkpoint'",
    ),
    _of_rows("results of steps", "task_steps", "result", "step", "task_id", only="kind IN ('once', 'signal')"),
    _of_rows("undos of steps", "task_steps", "undo", "step", "task_id"),
    _of_rows("signals", "signals", "data", "signal", "target"),
    Place(
        name="replaced payloads in the history",
        table="task_events",
        key="id",
        key_type="bigint",
        first="0",
        holder="task_id",
        value="detail -> 'replaced_payload'",
        written="jsonb_set(changed.detail, '{replaced_payload}', free.new)",
        column="detail",
        bound="payload",
        type_="type",
    ),
)


class Need(StrEnum):
    """What a value that is not encrypted with the newest key needs."""

    OLD_KEY = "old_key"  # it opens, with another key of PAYLOAD_KEYS, or lies there in the clear
    LOST_KEY = "lost_key"  # its key is not among PAYLOAD_KEYS
    DAMAGED = "damaged"  # its key is there, and it does not open
    NOTHING = "nothing"  # somebody's payload of an ordinary type, which only looks like ours


@dataclass(frozen=True, kw_only=True, slots=True)
class Stale:
    """One value that is not encrypted with the newest key."""

    key: Any
    holder: UUID
    type: str | None
    value: Any
    text: str


@dataclass(kw_only=True, slots=True)
class Tally:
    """What was found in one place; counts are by the name of the key."""

    place: str
    looked_at: int = 0
    old: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    moved: int = 0
    passed_over: int = 0  # somebody changed or held the row just then
    is_complete: bool = True


def examine(
    keys: ciphertexts.Keys,
    transact: Transact[Any],
    *,
    move: bool = False,
    batch: int = 100,
    until: float | None = None,
    tell: Callable[[Tally], None] = lambda _: None,
) -> list[Tally]:
    """Look at every place once; with `move` what opens is encrypted anew with the first key.

    `batch`: values in a transaction. `until`: when to stop, by time.monotonic(); what was not looked at by then is
    marked. `tell` is called after every batch.
    """
    return [_examine(place, keys, transact, move=move, batch=batch, until=until, tell=tell) for place in PLACES]


def _examine(
    place: Place,
    keys: ciphertexts.Keys,
    transact: Transact[Any],
    *,
    move: bool,
    batch: int,
    until: float | None,
    tell: Callable[[Tally], None],
) -> Tally:
    tally = Tally(place=place.name)
    newest = keys[0].name if keys else None
    for values in _batches(place, newest, transact, tally, batch=batch, until=until):
        stale = []
        for value in values:
            need, fresh = _need(place, value, keys)
            _count(tally, need, value)
            if need is Need.OLD_KEY:
                stale.append((value, fresh))
        if move and stale:
            moved = _moved(place, stale, transact)
            tally.moved += moved
            tally.passed_over += len(stale) - moved
        tell(tally)
    return tally


def _need(place: Place, stale: Stale, keys: ciphertexts.Keys) -> tuple[Need, dict[str, Any] | None]:
    """What the value needs, and the value encrypted anew where it opens."""
    name = _key_name(stale.value)
    if name is None and not place.may_be_clear:
        return Need.NOTHING, None
    try:
        if name is None:  # a secret in the clear; without a key there is nothing to encrypt it with
            fresh = ciphertexts.encrypted(stale.value, stale.holder, place.bound, keys=keys) if keys else None
        else:
            fresh = ciphertexts.reencrypted(stale.value, stale.holder, place.bound, keys=keys)
    except ciphertexts.CannotDecrypt:
        if stale.type is not None and _is_ordinary(stale.type):
            return Need.NOTHING, None  # anybody may submit what looks like this
        is_known = any(each.name == name for each in keys)
        return (Need.DAMAGED if is_known else Need.LOST_KEY), None
    return (Need.NOTHING if fresh is None else Need.OLD_KEY), fresh


def _key_name(value: Any) -> str | None:
    return str(value[ciphertexts.MARK].get("key")) if ciphertexts.is_encrypted(value) else None


def _is_ordinary(type_name: str) -> bool:
    kind = find_type(type_name)
    return kind is not None and not kind.sensitive


def _count(tally: Tally, need: Need, stale: Stale) -> None:
    name = _key_name(stale.value) or CLEAR
    if need is Need.OLD_KEY:
        tally.old[name] += 1
    elif need is Need.LOST_KEY:
        tally.lost[name] += 1
    elif need is Need.DAMAGED:
        tally.damaged += 1


def _batches(
    place: Place, newest: str | None, transact: Transact[Any], tally: Tally, *, batch: int, until: float | None
) -> Iterator[Sequence[Stale]]:
    """The stale values, in the order of the key; an empty batch where rows were looked at and none was stale."""
    after: Any = place.first
    while True:
        if until is not None and time.monotonic() >= until:
            tally.is_complete = False
            return
        last, rows = transact(partial(_bound, place=place, after=after))
        if last is None:
            return
        while True:
            values = transact(partial(_stale, place=place, newest=newest, after=after, last=last, batch=batch))
            yield values
            if len(values) < batch:
                break
            after = values[-1].key
        tally.looked_at += rows
        after = last


def _bound(session: Session, *, place: Place, after: Any) -> tuple[Any, int]:
    """The last key of the next few thousand rows, None where there are none, and how many they are."""
    use_indexes(session, in_order=True)
    keys = session.scalars(
        sa.text(f"""
            SELECT {place.key}
            FROM {place.table}
            WHERE {place.key} > CAST(:after AS {place.key_type}) AND {place.only}
            ORDER BY {place.key}
            LIMIT :rows
        """),
        {"after": after, "rows": ROWS_A_LOOK},
    ).all()
    return (keys[-1], len(keys)) if keys else (None, 0)


def _stale(session: Session, *, place: Place, newest: str | None, after: Any, last: Any, batch: int) -> list[Stale]:
    use_indexes(session, in_order=True)
    box = f"({place.value}) -> '{ciphertexts.MARK}'"
    is_stale = f"jsonb_typeof({box}) = 'object' AND {box} ->> 'key' IS DISTINCT FROM :newest"
    if place.may_be_clear:
        is_stale = f"({is_stale} OR jsonb_typeof({place.value}) = 'string')"
    rows = session.execute(
        sa.text(f"""
            SELECT {place.key} AS key, {place.holder} AS holder, {place.type_} AS type, ({place.value})::text AS text
            FROM {place.table}
            WHERE {place.key} > CAST(:after AS {place.key_type})
                AND {place.key} <= CAST(:last AS {place.key_type})
                AND {place.only}
                AND {is_stale}
            ORDER BY {place.key}
            LIMIT :batch
        """),
        {"after": after, "last": last, "newest": newest, "batch": batch},
    )
    return [Stale(key=r.key, holder=r.holder, type=r.type, value=from_json(r.text), text=r.text) for r in rows]


def _moved(place: Place, pairs: Sequence[tuple[Stale, Any]], transact: Transact[Any]) -> int:
    """Write the new values; returns how many. A row that the guard of the table refuses costs the others nothing."""
    try:
        return int(transact(lambda session: _write(session, place, pairs)))
    except sa.exc.IntegrityError:
        if len(pairs) == 1:
            return 0
    return sum(_moved(place, [each], transact) for each in pairs)


def _write(session: Session, place: Place, pairs: Sequence[tuple[Stale, Any]]) -> int:
    """Only where the value is still the one that was read. Whoever holds a row goes first: nobody is waited for."""
    use_indexes(session)
    statement = f"""
        WITH given AS (
            SELECT *
            FROM unnest(CAST(:keys AS {place.key_type}[]), CAST(:old AS text[]), CAST(:new AS text[])) AS given (
                key, old, new
            )
        ), free AS (
            SELECT held.{place.key} AS key, given.old::jsonb AS old, given.new::jsonb AS new
            FROM {place.table} AS held
            JOIN given ON held.{place.key} = given.key
            WHERE {place.value} = given.old::jsonb AND {place.only}
            ORDER BY held.{place.key}
            FOR NO KEY UPDATE OF held SKIP LOCKED
        )
        UPDATE {place.table} AS changed
        SET {place.column} = {place.written}
        FROM free
        WHERE changed.{place.key} = free.key AND {place.value} = free.old AND {place.only}
        RETURNING 1
    """
    parameters = {
        "keys": [str(stale.key) if isinstance(stale.key, UUID) else stale.key for stale, _ in pairs],
        "old": [stale.text for stale, _ in pairs],
        "new": [to_json(fresh) for _, fresh in pairs],
    }
    return len(session.execute(sa.text(statement), parameters).all())
