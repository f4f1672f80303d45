"""How long things are held, waited for and kept."""

from dataclasses import dataclass

from marshmallow.validate import Range

from app.config.setting import setting
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS


@dataclass(frozen=True, kw_only=True)
class Running:
    """How long things are held, waited for and kept."""

    lease_seconds: int = setting(
        "int",
        "How long a silent worker keeps a task, for types that set no lease of their own",
        example="60",
        default=60,
        check=Range(3, 3600),
    )
    aging_seconds: int = setting(
        "int",
        "A task that has waited this long gets a second hint one priority higher",
        example="300",
        default=300,
        check=Range(1, 86_400),
    )
    worker_concurrency: int = setting(
        "int",
        "How many tasks a worker runs at once, unless --concurrency says so; 0: one for each processor that its "
        "container may use, as far as there are 256 MiB of memory for each",
        example="8",
        default=0,
        check=Range(0, 1000),
    )
    shutdown_grace_seconds: int = setting(
        "int",
        "How long a stopping worker lets running tasks finish before it gives them back",
        example="20",
        default=20,
        check=Range(0, MAX_TIMEOUT_SECONDS),
    )
    max_task_depth: int = setting(
        "int",
        "How many tasks may stand above a task that a handler submits, each submitted by the one before",
        example="100",
        default=100,
        check=Range(1, 1000),
    )
    retention_completed_days: int = setting(
        "int",
        "COMPLETED tasks are deleted after so many days, with their history; 0 keeps them",
        example="30",
        default=30,
        check=Range(0, 36_500),
    )
    retention_failed_days: int = setting(
        "int",
        "FAILED tasks (dead letters) are deleted after so many days; 0 keeps them",
        example="90",
        default=90,
        check=Range(0, 36_500),
    )
    retention_cancelled_days: int = setting(
        "int",
        "CANCELLED tasks are deleted after so many days; 0 keeps them",
        example="30",
        default=30,
        check=Range(0, 36_500),
    )
    retention_events_days: int = setting(
        "int",
        "The history of a day is dropped as a whole after so many days; 0 keeps it",
        example="90",
        default=90,
        check=Range(0, 36_500),
    )
