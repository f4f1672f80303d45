"""Tables behind SQL as an interface: what functions in the database must know of task types, roles and limits."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database import Base, Mapped, mapped_column


class KnownType(Base):
    """A task type as its code declares it, written by `setup` and by each worker that starts."""

    __tablename__ = "task_types"

    name: Mapped[str] = mapped_column(primary_key=True, comment="Task type")
    summary: Mapped[str] = mapped_column(comment="What it does, in a line")
    enabled: Mapped[bool] = mapped_column(
        server_default=sa.text("true"), comment="Whether it may be submitted through SQL; for people to change"
    )
    sensitive: Mapped[bool] = mapped_column(comment="Payloads are encrypted, by the service only")
    internal: Mapped[bool] = mapped_column(
        server_default=sa.text("false"), comment="Whether only the service itself submits such tasks"
    )
    reaches_outside: Mapped[bool] = mapped_column(
        server_default=sa.text("false"), comment="Whether it sends to addresses that its payload names"
    )
    queue: Mapped[str] = mapped_column(comment="Broker queue of its tasks")
    chunk: Mapped[int] = mapped_column(comment="Up to so many tasks travel in one hint")
    max_retries: Mapped[int] = mapped_column(comment="Retries of a task that says nothing else")
    timeout_seconds: Mapped[int] = mapped_column(comment="Soft time limit of a task that sets none")
    longest_timeout_seconds: Mapped[int] = mapped_column(comment="The longest that a task may set")
    payload_kinds: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), comment="jsonb_typeof of payloads that it takes")
    required_keys: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), comment="Top-level keys that a payload must have")
    known_keys: Mapped[list[str] | None] = mapped_column(
        ARRAY(sa.Text), comment="Top-level keys that a payload may have; null: any"
    )
    masked_keys: Mapped[list[str]] = mapped_column(
        ARRAY(sa.Text), comment="Top-level keys that hold secrets, which views do not show; *: the whole payload"
    )
    schema: Mapped[dict[str, Any]] = mapped_column(comment="JSON Schema of its payload")
    schema_hash: Mapped[str] = mapped_column(comment="Changes when the schema does")
    earlier_hashes: Mapped[list[str]] = mapped_column(
        ARRAY(sa.Text),
        server_default="{}",
        comment="Hashes of its schemas before this one, the newest last: a worker that has one of them is older",
    )
    defaults: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True),
        comment="Keys and labels that its tasks take from their payload, as texts and paths; null: none",
    )
    options: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="What a remote type was declared with; null: its code declares it"
    )
    retired_at: Mapped[datetime | None] = mapped_column(
        comment="When setup missed it in the code, or an admin retired it; null: it is there"
    )
    updated_at: Mapped[datetime] = mapped_column(comment="When something new was last said about it")

    __table_args__ = (
        {"comment": "Task types as code or admins declare them; for functions and views in the database, too"},
    )


class SqlRole(Base):
    """A database role and the account that it stands for."""

    __tablename__ = "sql_roles"

    role_name: Mapped[str] = mapped_column(primary_key=True, comment="Role that logs in to the database")
    owner_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("users.id"), comment="users.id whose tasks it submits, sees and changes; an admin's: all"
    )
    reads_all: Mapped[bool] = mapped_column(comment="Whether views show it everybody's rows; false: its owner's only")
    created_at: Mapped[datetime] = mapped_column(comment="When it was added")

    __table_args__ = ({"comment": "Database roles that may use the views and functions of the schema taskledger"},)


class SqlLimit(Base):
    """A setting that functions in the database apply."""

    __tablename__ = "sql_limits"

    name: Mapped[str] = mapped_column(
        primary_key=True, comment="max_payload_bytes, max_waiting_tasks, new_accounts_reach_outside"
    )
    value: Mapped[int] = mapped_column(sa.BigInteger, comment="Its value, written by setup")

    __table_args__ = ({"comment": "Settings that functions in the database apply"},)


class SqlCount(Base):
    """How many places of an account's quota were taken at a count, and how many have been taken since."""

    __tablename__ = "sql_counts"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True, comment="users.id")
    backend: Mapped[int] = mapped_column(
        primary_key=True,
        autoincrement=False,
        comment="0: of all processes; a process id: of a connection far from the quota; "
        "the same, negative: a block of places that its transaction has taken",
    )
    waiting: Mapped[int] = mapped_column(
        sa.BigInteger, comment="Waiting tasks then, with those taken since; of a block, its places"
    )
    number: Mapped[int] = mapped_column(sa.BigInteger, comment="Number that taskledger.sql_submissions had reached")
    counted_at: Mapped[datetime] = mapped_column(comment="When; another count is made 5 seconds later")

    __table_args__ = ({"comment": "Counts for quotas of waiting tasks", "prefixes": ["UNLOGGED"]},)


class SqlArrival(Base):
    """A transaction that made tasks due through SQL, until the dispatcher has seen it."""

    __tablename__ = "sql_arrivals"

    transaction_id: Mapped[int] = mapped_column(
        sa.BigInteger, primary_key=True, autoincrement=False, comment="pg_current_xact_id() of the transaction"
    )
    since: Mapped[datetime] = mapped_column(comment="When it began: its tasks have been due since then or later")

    __table_args__ = ({"comment": "Transactions that made tasks due through SQL, until the dispatcher has seen them"},)
