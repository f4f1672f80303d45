"""Who is alive: workers, dispatcher duties, and how far each queue has been worked off."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from app.database import Base, Mapped, mapped_column

ALIVE_FOR = timedelta(seconds=15)
"""Since a worker's parent process last wrote its row, which it does each second."""


class Worker(Base):
    """One life of a worker's parent process."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True, comment="node/incarnation: new at every start of the process")
    kind: Mapped[str] = mapped_column(
        server_default="celery", comment="celery, or remote: it takes its tasks over HTTP"
    )
    node: Mapped[str] = mapped_column(comment="Celery node name; of a remote worker, the name that it gives itself")
    host: Mapped[str] = mapped_column(comment="Host it runs on; empty where a remote worker does not say")
    pid: Mapped[int] = mapped_column(comment="Process id of the parent; 0 where a remote worker does not say")
    concurrency: Mapped[int] = mapped_column(comment="How many handlers it runs at once")
    queues: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), comment="Queues it takes hints from")
    types: Mapped[dict[str, Any]] = mapped_column(comment="Task types it knows, with the hash of their payload schema")
    upgrades: Mapped[dict[str, Any]] = mapped_column(
        server_default="{}", comment="Hashes of earlier schemas whose payloads it upgrades, by task type"
    )
    version: Mapped[str] = mapped_column(comment="Version of the service it runs")
    runtime: Mapped[dict[str, Any]] = mapped_column(
        server_default="{}",
        comment="Pool, prefetch, and the versions of python, celery and kombu",
    )
    started_at: Mapped[datetime] = mapped_column(comment="When it started")
    last_seen_at: Mapped[datetime] = mapped_column(
        comment="Written every second while its parent process is alive; of a remote worker, its last request"
    )
    stopped_at: Mapped[datetime | None] = mapped_column(comment="When it stopped cleanly")

    __table_args__ = ({"comment": "Workers, alive and recently gone"},)


class Duty(Base):
    """One duty of the dispatcher, as seen by its last run anywhere."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(primary_key=True, comment="dispatch, lost_hints, rescue, ...")
    node: Mapped[str] = mapped_column(comment="The dispatcher that ran it last")
    last_success_at: Mapped[datetime | None] = mapped_column(comment="When a run last succeeded")
    last_error: Mapped[str | None] = mapped_column(comment="What the last run failed with; null after a success")

    __table_args__ = ({"comment": "When each duty of the dispatcher last succeeded"},)


class QueuePosition(Base):
    """How far a queue has been worked off: hints are taken in order, so what is older and unclaimed is lost."""

    __tablename__ = "queue_positions"

    queue: Mapped[str] = mapped_column(primary_key=True, comment="Broker queue")
    priority: Mapped[str] = mapped_column(primary_key=True, comment="Priority of the hints")
    passed_at: Mapped[datetime] = mapped_column(comment="The newest dispatched_at that a worker has claimed")

    __table_args__ = ({"comment": "Newest hint claimed from each queue and priority"},)
