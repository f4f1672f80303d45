"""What remote workers take their tasks from: hints as rows, and the claims that they have made."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from app.database import Base, Mapped, mapped_column

_UNLOGGED = {
    "prefixes": ["UNLOGGED"],
    # Rows come and go within milliseconds: what is dead is cleared away before a look has to pass over much of it.
    "postgresql_with": {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "1000"},
}


class WorkHint(Base):
    """The hint of a task of a remote type: what is a message for Celery's workers is a row here."""

    __tablename__ = "hints"

    type: Mapped[str] = mapped_column(primary_key=True, comment="Remote task type")
    rank: Mapped[int] = mapped_column(
        sa.SmallInteger, primary_key=True, autoincrement=False, comment="0: high priority, 1: normal, 2: low"
    )
    seq: Mapped[int] = mapped_column(
        sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Order within a type and rank"
    )
    task_id: Mapped[UUID] = mapped_column(comment="tasks.id; the row there says whether it is still to be run")
    published_at: Mapped[datetime] = mapped_column(comment="When it was published")

    __table_args__ = (
        {"comment": "Hints of remote types; one that is lost is published again, as any other is", **_UNLOGGED},
    )


class WorkClaim(Base):
    """A claim of a remote worker, so that a repeated one gets the same tasks."""

    __tablename__ = "work_claims"

    claim: Mapped[UUID] = mapped_column(
        primary_key=True, comment="The lease that it gave; made from the account, the worker and the id that it sent"
    )
    worker: Mapped[str] = mapped_column(comment="workers.id")
    ids: Mapped[list[UUID]] = mapped_column(ARRAY(sa.Uuid), comment="The tasks that it took")
    at: Mapped[datetime] = mapped_column(comment="When; kept for a day")

    __table_args__ = ({"comment": "Claims of remote workers, for those that never saw the answer", **_UNLOGGED},)
