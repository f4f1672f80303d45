"""Logs, metrics, and when a queue counts as overloaded."""

from dataclasses import dataclass

from marshmallow.validate import OneOf, Range

from app.config.checks import check_networks, check_probe_token
from app.config.setting import setting


@dataclass(frozen=True, kw_only=True)
class Observing:
    """Logs, metrics, and when a queue counts as overloaded."""

    log_format: str = setting(
        "str",
        "`json` is one object a line, `console` is for people, `auto` is console on a terminal and json elsewhere",
        example="json",
        default="auto",
        check=OneOf(("auto", "console", "json")),
    )
    log_level: str = setting(
        "str",
        "Least severe level that is written; DEBUG adds a line for every request",
        example="INFO",
        default="INFO",
        check=OneOf(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    )
    log_file: str | None = setting(
        "str",
        "A file that gets the same lines as JSON, beside standard error; `{process}` in it becomes api, worker or "
        "dispatcher",
        example="logs/{process}.jsonl",
        default=None,
    )
    log_file_bytes: int = setting(
        "int",
        "A log file that has grown to this size is put aside and begun anew",
        example="10485760",
        default=10_485_760,
        check=Range(10_000, 1_099_511_627_776),
    )
    log_file_backups: int = setting(
        "int",
        "How many log files that were put aside are kept",
        example="5",
        default=5,
        check=Range(1, 1000),
    )
    metrics_allow: str = setting(
        "str",
        "Addresses or networks that may read /metrics without a key, separated by commas",
        example="127.0.0.1",
        default="",
        check=check_networks,
    )
    probe_token: str = setting(
        "str",
        "Whoever sends it (`Authorization: Bearer …`) is told by /health/ready why something is missing; blank: admins "
        "and METRICS_ALLOW only",
        example="3f1c9a5e8b7d4026",
        default="",
        check=check_probe_token,
        secret=True,
    )
    metrics_host: str = setting(
        "str",
        "Address on which worker and dispatcher offer /metrics; there is no key to it",
        example="0.0.0.0",  # noqa: S104
        default="127.0.0.1",
    )
    worker_metrics_port: int = setting(
        "int",
        "Port on which a worker offers its /metrics; 0: none",
        example="9191",
        default=0,
        check=Range(0, 65535),
    )
    dispatcher_metrics_port: int = setting(
        "int",
        "Port on which the dispatcher offers its /metrics; 0: none",
        example="9192",
        default=0,
        check=Range(0, 65535),
    )
    metrics_dir: str | None = setting(
        "str",
        "Where the processes of one service keep what they count, until it stops; unset: below the temporary directory",
        example="/dev/shm/taskledger",  # noqa: S108
        default=None,
    )
    overload_waiting_tasks: int = setting(
        "int",
        "A queue in which more tasks wait is overloaded (`/queues/overloaded`)",
        example="10000",
        default=10_000,
        check=Range(1, 1_000_000_000),
    )
    overload_oldest_seconds: int = setting(
        "int",
        "A queue whose first task has waited for longer is overloaded",
        example="300",
        default=300,
        check=Range(1, 31_536_000),
    )
    overload_drain_seconds: int = setting(
        "int",
        "A queue that needs longer until nothing waits is overloaded",
        example="900",
        default=900,
        check=Range(1, 31_536_000),
    )
    scaling_drain_seconds: int = setting(
        "int",
        "`/queues/scaling` asks for so many handlers that what waits is done within this time",
        example="60",
        default=60,
        check=Range(1, 86_400),
    )
    scaling_concurrency_per_worker: int = setting(
        "int",
        "How many handlers one more worker brings: what the first one is asked for before anything was measured",
        example="4",
        default=4,
        check=Range(1, 1000),
    )
