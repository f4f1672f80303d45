"""Rows of artifacts: what somebody may see, and what they delete.

`owner`: whose files there are; None (the service itself, an admin) is everybody's.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models.page import Page, page_of
from app.services.artifacts import samples

COLUMNS = "id, owner_id, task_id, name, media_type, size, sha256, created_at, remove_at AS expires_at"
THEIRS = "stored_at IS NOT NULL AND (CAST(:owner AS uuid) IS NULL OR owner_id = :owner)"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactRecord:
    """A stored file."""

    id: UUID
    owner_id: UUID | None
    task_id: UUID | None
    name: str
    media_type: str
    size: int  # bytes
    sha256: str  # hexadecimal
    created_at: datetime
    expires_at: datetime | None


READ = sa.text(f"SELECT {COLUMNS} FROM artifacts WHERE id = :id AND {THEIRS}")
FIND = sa.text(f"""
    SELECT {COLUMNS}
    FROM artifacts
    WHERE {THEIRS}
        AND (CAST(:before AS uuid) IS NULL OR id < :before)
        AND (CAST(:task_id AS uuid) IS NULL OR task_id = :task_id)
    ORDER BY id DESC
    LIMIT :limit
""")
DELETE = sa.text(f"UPDATE artifacts SET stored_at = NULL, remove_at = :now WHERE id = :id AND {THEIRS} RETURNING id")


def read(session: Session, artifact_id: UUID, *, owner: UUID | None) -> ArtifactRecord:
    """What is known of a file, or of a sample. Raises NotFound."""
    sample = samples.SAMPLES.get(artifact_id)
    if sample is not None:
        return _of_sample(sample)
    row = session.execute(READ, {"id": artifact_id, "owner": owner}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no artifact {artifact_id}: it never was, it has expired, or it is not yours.")
    return ArtifactRecord(**row)


def find(
    session: Session, *, owner: UUID | None, task_id: UUID | None = None, before: UUID | None = None, limit: int
) -> Page[ArtifactRecord]:
    """A page of the files older than `before`, newest first."""
    parameters: dict[str, Any] = {"owner": owner, "task_id": task_id, "before": before, "limit": limit + 1}
    records = [ArtifactRecord(**row) for row in session.execute(FIND, parameters).mappings()]
    return page_of(records, limit)


def delete(session: Session, artifact_id: UUID, *, owner: UUID | None, now: datetime) -> None:
    """Delete a file; its content goes with the next sweep. Raises NotFound."""
    if session.scalar(DELETE, {"id": artifact_id, "owner": owner, "now": now}) is None:
        raise NotFound(f"There is no artifact {artifact_id} that you could delete.")


def _of_sample(sample: samples.Sample) -> ArtifactRecord:
    return ArtifactRecord(
        id=sample.id,
        owner_id=None,
        task_id=None,
        name=sample.path.name,
        media_type=sample.media_type,
        size=sample.path.stat().st_size,
        sha256=sample.sha256,
        created_at=samples.MADE_AT,
        expires_at=None,
    )
