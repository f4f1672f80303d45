"""The tasks table: one row a task, and the row is the truth."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id
from app.models.status import FINISHED, UNCLAIMED, Priority, Status

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def quoted(words: frozenset[Status] | type[Status] | type[Priority]) -> str:
    """A SQL list of the words, sorted: 'A', 'B'."""
    return ", ".join(f"'{word.value}'" for word in sorted(words))


PARKED = datetime.fromisoformat("9999-06-01T00:00:00+00:00")
"""The `due_at` of what waits for no moment: behind all that is on hold, so that a look at what is unfinished can end
before it (`due_at < PARKED`), and costs nothing for the many that wait for signals or children."""
NOT_PARKED = f"due_at < '{PARKED.isoformat()}'"
"""SQL: unfinished, and not parked."""


class Task(Base):
    """One submitted unit of work."""

    __tablename__ = "tasks"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7: ids sort by creation")
    type: Mapped[str] = mapped_column(comment="Task type: which handler runs it")
    name: Mapped[str | None] = mapped_column(comment="A name for people; not unique")
    status: Mapped[str] = mapped_column(comment="Where the task stands; docs/reference/statuses.md")
    payload: Mapped[Any] = mapped_column(JSONB, comment="What the handler is given; its shape is the type's schema")
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), comment="What the handler returned")
    error: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="Last failure: type, message, traceback; null once the task has completed"
    )
    error_fingerprint: Mapped[str | None] = mapped_column(comment="Same for failures with the same cause")
    reason: Mapped[str | None] = mapped_column(comment="Why the status is what it is, where that is not obvious")
    priority: Mapped[str] = mapped_column(comment="high, normal or low")
    queue: Mapped[str] = mapped_column(comment="Broker queue that carries its hints")
    unchunked: Mapped[bool] = mapped_column(
        "solo",
        server_default=sa.text("false"),
        comment="Runs alone in its hint, never in a chunk (after a lost chunk, say)",
    )
    attempt: Mapped[int] = mapped_column(server_default="0", comment="Number of the latest attempt; 0 before the first")
    attempt_base: Mapped[int] = mapped_column(
        server_default="0", comment="Attempts made before the last replay; the retry budget counts from here"
    )
    max_retries: Mapped[int] = mapped_column(comment="Retries after the first attempt before the task is FAILED")
    timeout_seconds: Mapped[int | None] = mapped_column(comment="Soft time limit of its own; null: the type's")
    # No foreign key: each submission would lock the one row of its owner, and accounts are never deleted.
    owner_id: Mapped[UUID | None] = mapped_column(comment="users.id of who submitted it; null: the service itself")
    labels: Mapped[dict[str, Any]] = mapped_column(server_default="{}", comment="Strings by name, to filter by")
    progress: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="What the handler last reported: fraction 0..1 and message"
    )
    created_at: Mapped[datetime] = mapped_column(comment="When the submission was accepted")
    scheduled_at: Mapped[datetime | None] = mapped_column(comment="Not before this moment")
    expires_at: Mapped[datetime | None] = mapped_column(comment="Cancelled when not started by then")
    started_at: Mapped[datetime | None] = mapped_column(comment="When the latest attempt started")
    finished_at: Mapped[datetime | None] = mapped_column(comment="When it was COMPLETED, FAILED or CANCELLED")
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now(), comment="Last change of the row")
    due_at: Mapped[datetime | None] = mapped_column(
        comment="When the dispatcher looks at the row again: start, retry, lost hint or lease end; null once finished"
    )
    dispatched_at: Mapped[datetime | None] = mapped_column(
        comment="When its last hint was published; null: held by the ledger, no hint is out"
    )
    boosts: Mapped[int] = mapped_column(
        "aged",
        sa.SmallInteger,
        server_default="0",
        comment="Extra hints it got at a higher priority because it waited so long",
    )
    lease: Mapped[UUID | None] = mapped_column(comment="The right to record this attempt's outcome; new at every claim")
    leased_by: Mapped[str | None] = mapped_column(comment="The worker (workers.id) that holds the lease")
    leased_pid: Mapped[int | None] = mapped_column(comment="Process on the worker's host that runs the handler")
    cancel_requested_at: Mapped[datetime | None] = mapped_column(comment="When a running task was asked to stop")
    cancel_receipt: Mapped[str | None] = mapped_column(
        comment="What the cancellation found: never_started, stopped, killed or finished_first"
    )
    callback_url: Mapped[str | None] = mapped_column(comment="Told when the task is finished; null: nobody asked")
    # No foreign key: an outcome would lock the run before it is its turn.
    run_id: Mapped[UUID | None] = mapped_column(comment="The run (workflow_runs.id) that it is a task of; null: none")
    step: Mapped[str | None] = mapped_column(
        comment="The step of the run, or of the task whose handler submitted it, that it runs or undoes"
    )
    request_id: Mapped[str | None] = mapped_column(comment="X-Request-ID of the request that submitted it")
    traceparent: Mapped[str | None] = mapped_column(comment="W3C trace context in which it was submitted")

    admission_required: Mapped[bool] = mapped_column(
        "gated",
        server_default=sa.text("false"),
        comment="A limit or an ordering key concerns it: its hints go out when it is admitted",
    )
    concurrency_key: Mapped[str | None] = mapped_column(
        comment="What it uses that limits may be set for, such as host:example.com"
    )
    ordering_key: Mapped[str | None] = mapped_column(
        comment="Tasks of one owner with the same key run one at a time, in the order of their submission"
    )
    after_failure: Mapped[str | None] = mapped_column(
        comment="What its failure does to the tasks behind it with the same ordering key: block (null, too) or release"
    )
    # No index: task_children leads from a task to its children. No foreign key: a parent may be deleted first.
    parent_id: Mapped[UUID | None] = mapped_column(
        comment="The task whose handler submitted it; null: it was submitted from outside"
    )
    waits_for: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True),
        comment="While it is WAITING: the step, and a signal, a moment or children that it waits for",
    )
    schema_hash: Mapped[str | None] = mapped_column(
        comment="Schema that its payload was accepted under; null: not known"
    )
    schema_refusals: Mapped[list[str] | None] = mapped_column(
        ARRAY(sa.Text), comment="Schemas of the workers that did not take its payload, once for each time; null: none"
    )
    # Not part of a TaskRecord: only a submission that is sent again asks for it.
    submission_digest: Mapped[bytes | None] = mapped_column(
        comment="Digest of what was submitted, where the caller chose the id; null: the service chose it"
    )

    __table_args__ = (
        # Serves every duty of the dispatcher: what is due, whatever its status.
        sa.Index("ix_tasks_due_at", "due_at", postgresql_where=sa.text("due_at IS NOT NULL")),
        # Serves the dead letters, by type and cause, newest first; and the rare CANCELLED in lists by status.
        sa.Index(
            "ix_tasks_ended_badly",
            "status",
            "type",
            "id",
            postgresql_where=sa.text("status IN ('FAILED', 'CANCELLED')"),
        ),
        # Serves the lists of an account: its own tasks, newest first.
        sa.Index("ix_tasks_owner_id_id", "owner_id", "id"),
        sa.CheckConstraint(f"status IN ({quoted(Status)})", name="status_known"),
        sa.CheckConstraint(f"priority IN ({quoted(Priority)})", name="priority_known"),
        sa.CheckConstraint(f"(due_at IS NULL) = (status IN ({quoted(FINISHED)}))", name="due_while_unfinished"),
        sa.CheckConstraint(
            f"(finished_at IS NOT NULL) = (status IN ({quoted(FINISHED)}))", name="finished_at_when_finished"
        ),
        sa.CheckConstraint("(lease IS NOT NULL) = (status = 'PROCESSING')", name="lease_while_processing"),
        sa.CheckConstraint("attempt >= attempt_base AND attempt_base >= 0", name="attempts_count_up"),
        sa.CheckConstraint("max_retries >= 0", name="max_retries_not_negative"),
        sa.CheckConstraint("timeout_seconds > 0", name="timeout_positive"),
        sa.CheckConstraint("jsonb_typeof(labels) = 'object'", name="labels_object"),
        sa.CheckConstraint("after_failure IN ('block', 'release')", name="after_failure_known"),
        {
            "comment": "Every submitted task; the row is the truth, broker messages are hints",
            # Rows are updated several times in their life; a fifth of each page is left free for that.
            "postgresql_with": {"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.01"},
        },
    )


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `tasks`, detached from any transaction; its fields are Task's. Copied with msgspec.structs.replace."""

    id: UUID
    type: str
    name: str | None
    status: str
    payload: Any
    result: Any
    error: dict[str, Any] | None
    error_fingerprint: str | None
    reason: str | None
    priority: str
    queue: str
    unchunked: bool
    attempt: int
    attempt_base: int
    max_retries: int
    timeout_seconds: int | None
    owner_id: UUID | None
    labels: dict[str, Any]
    progress: dict[str, Any] | None
    created_at: datetime
    scheduled_at: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    due_at: datetime | None
    dispatched_at: datetime | None
    lease: UUID | None
    leased_by: str | None
    leased_pid: int | None
    cancel_requested_at: datetime | None
    cancel_receipt: str | None
    boosts: int = 0
    callback_url: str | None = None
    run_id: UUID | None = None
    step: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    admission_required: bool = False
    concurrency_key: str | None = None
    ordering_key: str | None = None
    after_failure: str | None = None
    parent_id: UUID | None = None
    waits_for: dict[str, Any] | None = None
    schema_hash: str | None = None
    schema_refusals: list[str] | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "TaskRecord":
        """From a row selected with RECORD_COLUMNS, and maybe others."""
        return cls(**{name: row[name] for name in RECORD_FIELDS})

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in FINISHED

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for its turn."""
        return self.status in UNCLAIMED


RECORD_FIELDS = TaskRecord.__struct_fields__
COLUMN_OF = {field: getattr(Task, field).name for field in RECORD_FIELDS}
"""The column of each field: some keep an old name (docs/decisions/0029-names-in-code-go-before-names-in-tables.md)."""
RECORD_COLUMNS = tuple(Task.metadata.tables["tasks"].c[column].label(field) for field, column in COLUMN_OF.items())
"""What to select for a TaskRecord."""
