"""What the API and the dashboard answer, to whom, and how much of it."""

from dataclasses import dataclass

from marshmallow.validate import Range

from app.config.checks import check_links, check_networks, check_origins, check_rate, check_storage
from app.config.setting import setting


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What the API and the dashboard answer, to whom, and how much of it."""

    host: str = setting("str", "Address the API listens on", example="0.0.0.0", default="127.0.0.1")  # noqa: S104
    port: int = setting("int", "Port the API listens on", example="8000", default=8000, check=Range(1, 65535))
    max_body_bytes: int = setting(
        "int",
        "Largest request body; a larger one is answered with 413",
        example="1048576",
        default=1_048_576,
        check=Range(1024, 268_435_456),
    )
    max_payload_bytes: int = setting(
        "int",
        "Largest payload of a task, as JSON",
        example="1048576",
        default=1_048_576,
        check=Range(1024, 268_435_456),
    )
    max_batch_tasks: int = setting(
        "int",
        "Most tasks in one request to /tasks/batch",
        example="1000",
        default=1000,
        check=Range(1, 100_000),
    )
    max_waiting_tasks: int = setting(
        "int",
        "Tasks of one account that may wait at once, unless the account has a quota of its own; 0: no quota",
        example="100000",
        default=1_000_000,
        check=Range(0, 1_000_000_000),
    )
    max_waiters: int = setting(
        "int",
        "Long polls (`?wait=`) held at once by an API process; past it the current state is answered at once",
        example="16",
        default=16,
        check=Range(0, 10_000),
    )
    max_waiting_claims: int = setting(
        "int",
        "Claims of remote workers that wait for tasks at once in an API process; past it they are told to ask again",
        example="200",
        default=32,
        check=Range(0, 10_000),
    )
    max_streams: int = setting(
        "int",
        "Live streams held at once by an API process, each of which holds a thread; past it 503 is answered",
        example="500",
        default=8,
        check=Range(0, 10_000),
    )
    stream_seconds: int = setting(
        "int",
        "A live stream is ended after so long; its client connects again and goes on where it was",
        example="3600",
        default=3600,
        check=Range(1, 86_400),
    )
    database_answer_seconds: int = setting(
        "int",
        "A request waits so long for PostgreSQL to answer a statement (a commit: 10 seconds at most), and is then "
        "answered with 503; PostgreSQL itself stops statements after 30 seconds, but not what waits for a standby",
        example="35",
        default=35,
        check=Range(1, 600),
    )
    max_schedules_per_owner: int = setting(
        "int",
        "How many schedules an account may have; those made without an account count together",
        example="10000",
        default=10_000,
        check=Range(0, 1_000_000),
    )
    rate_limit_create: str = setting(
        "str",
        "Requests that change something, per account (ten times that per address); blank: no limit",
        example="3000 per minute",
        default="",
        check=check_rate,
    )
    rate_limit_read: str = setting(
        "str",
        "Requests that read, per account (ten times that per address); blank: no limit",
        example="6000 per minute",
        default="",
        check=check_rate,
    )
    rate_limit_auth: str = setting(
        "str",
        "Log-ins, registrations and requests with a wrong credential, per address; blank: no limit",
        example="30 per minute",
        default="",
        check=check_rate,
    )
    rate_limit_storage: str = setting(
        "str",
        "Where requests are counted: memory:// for each process by itself, redis:// for all together",
        example="redis://:password@127.0.0.1:6379/1",
        default="memory://",
        check=check_storage,
        secret=True,
    )
    cors_origins: str = setting(
        "str",
        "Origins whose pages may call the API from a browser, separated by commas; blank: none",
        example="https://app.example.com",
        default="",
        check=check_origins,
    )
    trusted_proxies: str = setting(
        "str",
        "Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed, separated by commas",
        example="10.0.0.0/8",
        default="",
        check=check_networks,
    )
    dashboard_links: str = setting(
        "str",
        "Further links of the dashboard, as name=address, separated by commas",
        example="Flower=http://127.0.0.1:5555, RabbitMQ=http://127.0.0.1:15672",
        default="",
        check=check_links,
    )
