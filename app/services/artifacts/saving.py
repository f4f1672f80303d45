"""Saving a file: a row that says it is coming, the content, and the row that says it is there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from app import clock
from app.config import Settings
from app.database import Session
from app.models import new_id
from app.services.accounts import usage
from app.services.artifacts.content import Measured, StorageFull
from app.services.artifacts.records import COLUMNS, ArtifactRecord
from app.services.artifacts.store import Store

T = TypeVar("T")
Transact = Callable[[Callable[[Session], Any]], Any]  # runs its argument in a transaction of its own and commits it
MAX_UPLOAD = timedelta(days=1)  # what has not arrived by then is removed


@dataclass(frozen=True, kw_only=True, slots=True)
class NewArtifact:
    """A file to be saved; `name` and `media_type` are what the caller says, for people."""

    owner_id: UUID | None
    task_id: UUID | None
    name: str
    media_type: str


BEGIN = sa.text("""
    INSERT INTO artifacts (id, owner_id, task_id, name, media_type, created_at, remove_at)
    VALUES (:id, :owner_id, :task_id, :name, :media_type, :now, :remove_at)
    -- the same statement again, after a commit whose answer was lost
    ON CONFLICT (id) DO NOTHING
""")
REPLACE = sa.text("""
    UPDATE artifacts
    SET stored_at = NULL, remove_at = :now
    WHERE task_id = CAST(:task_id AS uuid) AND name = :name AND stored_at IS NOT NULL
""")
REPLACED = sa.text(
    "SELECT size FROM artifacts WHERE task_id = CAST(:task_id AS uuid) AND name = :name AND stored_at IS NOT NULL"
)
FINISH = sa.text(f"""
    UPDATE artifacts
    SET size = :size, sha256 = :sha256, stored_at = :now, remove_at = :remove_at
    WHERE id = :id AND stored_at IS NULL
    RETURNING {COLUMNS}
""")
GIVE_UP = sa.text("UPDATE artifacts SET remove_at = :now WHERE id = :id AND stored_at IS NULL")


def save(
    transact: Transact,
    store: Store,
    new: NewArtifact,
    chunks: Iterable[bytes],
    *,
    settings: Settings,
    fence: Callable[[Session], None] | None = None,
    once: Callable[[Session, ArtifactRecord], None] | None = None,
) -> ArtifactRecord:
    """Save a file; no transaction is open while the content travels. Raises TooLarge, StorageFull or StoreAway.

    `fence` runs first in the transaction that makes the file visible, `once` last and with the file as it will be; both
    may raise to prevent it. If anything fails, the sweep removes what was stored.
    """
    id_ = new_id()
    room = transact(lambda session: _begin(session, id_, new, settings, now=clock.utcnow()))
    content = Measured(chunks, most=settings.artifact_max_bytes, room=room)
    try:
        store.write(id_, content)
        saved: ArtifactRecord = transact(lambda session: _finish(session, id_, new, content, settings, fence, once))
        return saved
    except BaseException:
        transact(lambda session: session.execute(GIVE_UP, {"id": id_, "now": clock.utcnow()}))
        raise


def _begin(
    session: Session, id_: UUID, new: NewArtifact, settings: Settings, *, now: datetime
) -> tuple[int, int] | None:
    """Announce the file; returns how many bytes are used of how many, so that what cannot fit is stopped on its way."""
    values = {"id": id_, "owner_id": new.owner_id, "task_id": new.task_id, "name": new.name}
    session.execute(BEGIN, {**values, "media_type": new.media_type, "now": now, "remove_at": now + MAX_UPLOAD})
    allowed = None if new.owner_id is None else usage.stored_bytes_allowed(session, new.owner_id, settings=settings)
    if new.owner_id is None or allowed is None:
        return None
    replaced = session.scalar(REPLACED, {"task_id": new.task_id, "name": new.name}) if new.task_id else 0
    return usage.stored_bytes(session, new.owner_id) - (replaced or 0), allowed


def _finish(
    session: Session,
    id_: UUID,
    new: NewArtifact,
    content: Measured,
    settings: Settings,
    fence: Callable[[Session], None] | None,
    once: Callable[[Session, ArtifactRecord], None] | None,
) -> ArtifactRecord:
    if fence is not None:
        fence(session)
    now = clock.utcnow()
    if new.task_id is not None:
        session.execute(REPLACE, {"task_id": new.task_id, "name": new.name, "now": now})
    days = settings.artifact_retention_days
    values = {"id": id_, "size": content.size, "sha256": content.sha256, "now": now}
    remove_at = now + timedelta(days=days) if days else None
    saved = ArtifactRecord(**session.execute(FINISH, {**values, "remove_at": remove_at}).mappings().one())
    if new.owner_id is not None:
        _check_room(session, new.owner_id, content.size, settings)
    if once is not None:
        once(session, saved)
    return saved


def _check_room(session: Session, owner_id: UUID, size: int, settings: Settings) -> None:
    """Raises StorageFull for a file that was too much: the trigger has added it to what is used, and locked the sum.

    So of two files at once the second one is asked when the first one is there, or not.
    """
    allowed = usage.stored_bytes_allowed(session, owner_id, settings=settings)
    if allowed is None or not size:
        return
    used = usage.stored_bytes(session, owner_id)
    if used > allowed:
        raise StorageFull(used=used - size, allowed=allowed, size=size)
