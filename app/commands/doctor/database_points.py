"""Points about PostgreSQL: versions, durability, room, upkeep, and whether anybody takes backups."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from app.commands.doctor.finding import Finding, Findings, fault, judged, ok, warning
from app.config import Settings
from app.services.dispatch.workers import ALIVE_FOR

OLDEST_VERSION = 140_000
MAX_OF_CONNECTIONS = 0.8
DISPATCHER_CONNECTIONS = 12
WORKER_EXTRA_CONNECTIONS = 3  # of the parent process: liveness, lost children, pauses
MAX_BACKUP_HOURS = 26
MAX_SKEW_SECONDS, UNUSABLE_SKEW_SECONDS = 1.0, 30.0
MAX_TRANSACTION_MINUTES = 10
DEAD_SHARE, DEAD_ROWS = 0.3, 50_000

SETTINGS = sa.text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
NAMES = [
    "server_version_num", "fsync", "full_page_writes", "synchronous_commit", "autovacuum", "track_counts",
    "max_connections", "superuser_reserved_connections", "archive_mode",
]  # fmt: skip
TABLES = sa.text("""
    SELECT pg_class.relname, n_live_tup AS live, n_dead_tup AS dead,
        coalesce('autovacuum_enabled=false' = ANY(reloptions), false) AS is_off
    FROM pg_stat_user_tables
    JOIN pg_class ON pg_class.oid = relid
    WHERE schemaname = 'public'
""")
OLD_TRANSACTIONS = sa.text("""
    SELECT count(*)
    FROM pg_stat_activity
    WHERE datname = current_database()
        AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'
        AND xact_start < now() - make_interval(mins => :minutes)
""")
CLIENTS = sa.text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
BACKED_UP = sa.text("SELECT max(at) FROM audit_log WHERE action = 'ledger.backed_up'")
WORKERS = sa.text("""
    SELECT coalesce(sum(concurrency + :extra), 0)
    FROM workers
    WHERE kind = 'celery' AND stopped_at IS NULL AND last_seen_at > now() - CAST(:alive_for AS interval)
""")
AHEAD = sa.text("""
    SELECT to_regclass('public.task_events_p' || to_char((now() AT TIME ZONE 'UTC')::date + 1, 'YYYYMMDD')) IS NOT NULL
""")


def of_database(
    connection: sa.Connection, settings: Settings, *, heads: Sequence[str], api_processes: int, clock: datetime
) -> Findings:
    """`heads` are the newest migrations in the code, `clock` this host's time in UTC when the database was asked."""
    values: dict[str, str] = {row.name: row.setting for row in connection.execute(SETTINGS, {"names": NAMES})}
    version = int(values["server_version_num"])
    seen = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    yield judged("database", version >= OLDEST_VERSION, seen, "move to PostgreSQL 14 or newer; 17 is what we test with")
    yield from _tls(connection, settings)
    yield from _clock(connection, clock)
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if values[name] == "off"]
    durable = "what is committed is on disk"
    yield judged("durability", not off, f"off: {', '.join(off)}" if off else durable, "set them on: 201 means durable")
    yield from _migrations(connection, heads)
    yield from _connections(connection, values, settings, api_processes)
    yield from _role(connection)
    if heads and _revision(connection) is None:
        return
    yield from _vacuum(connection, values)
    yield _backups(connection, values)
    advice = "see the log of the dispatcher: it makes the days ahead"
    yield judged("history", bool(connection.scalar(AHEAD)), "tomorrow's partition", advice)


def _tls(connection: sa.Connection, settings: Settings) -> Findings:
    ssl = connection.scalar(sa.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    address = connection.scalar(sa.text("SELECT inet_client_addr()"))
    if address is None or ssl:
        yield ok("database connection", "encrypted" if ssl else "a local socket")
    elif settings.allow_plaintext_connections:
        yield ok("database connection", "not encrypted, as ALLOW_PLAINTEXT_CONNECTIONS says")
    else:
        yield warning("database connection", "not encrypted", "append ?sslmode=verify-full to DATABASE_URL")


def _clock(connection: sa.Connection, clock: datetime) -> Findings:
    theirs = connection.scalar(sa.text("SELECT clock_timestamp()"))
    skew = abs((theirs.astimezone(UTC) - clock).total_seconds()) if theirs else 0.0
    seen = f"{skew:.1f} s between this host and the database"
    bad = fault if skew > UNUSABLE_SKEW_SECONDS else warning
    yield judged("clock", skew <= MAX_SKEW_SECONDS, seen, "run chrony or another NTP client on both hosts", bad)


def _revision(connection: sa.Connection) -> str | None:
    if connection.scalar(sa.text("SELECT to_regclass('public.alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM public.alembic_version"))
    return revision


def _migrations(connection: sa.Connection, heads: Sequence[str]) -> Findings:
    revision = _revision(connection)
    seen = f"the database is at {revision or 'nothing'}, the code at {', '.join(heads)}"
    yield judged("migrations", [revision] == list(heads), seen, "run `flask --app app setup`")


def _connections(connection: sa.Connection, values: dict[str, str], settings: Settings, api_processes: int) -> Findings:
    room = int(values["max_connections"]) - int(values["superuser_reserved_connections"])
    used = connection.scalar(CLIENTS) or 0
    advice = "raise max_connections, lower DATABASE_POOL_SIZE, or put PgBouncer (session mode) between"
    yield judged("connections", used <= room * MAX_OF_CONNECTIONS, f"{used} of {room} in use", advice)
    workers = 0
    if connection.scalar(sa.text("SELECT to_regclass('public.workers')")) is not None:
        workers = int(connection.scalar(WORKERS, {"extra": WORKER_EXTRA_CONNECTIONS, "alive_for": ALIVE_FOR}) or 0)
    peak = api_processes * 2 * settings.database_pool_size + workers + DISPATCHER_CONNECTIONS
    seen = (
        f"{peak} at most by {api_processes} API processes, the workers that are alive and a dispatcher; {room} allowed"
    )
    yield judged("connections at peak", peak <= room, seen, advice)


def _role(connection: sa.Connection) -> Findings:
    is_super = connection.scalar(sa.text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
    seen = "a superuser" if is_super else "an ordinary role"
    yield judged("database role", not is_super, seen, "make a role that only owns the database of Taskledger", warning)


def _vacuum(connection: sa.Connection, values: dict[str, str]) -> Findings:
    is_on = values["autovacuum"] == values["track_counts"] == "on"
    tables = connection.execute(TABLES).all()
    switched_off = [row.relname for row in tables if row.is_off]
    seen = "on" if is_on and not switched_off else f"off{' for ' + ', '.join(switched_off) if is_on else ''}"
    yield judged("autovacuum", seen == "on", seen, "set autovacuum and track_counts on, for every table")
    bloated = [row.relname for row in tables if _is_bloated(row)]
    advice = "look for old transactions, and run VACUUM (VERBOSE) on them"
    yield judged("dead rows", not bloated, f"many in {', '.join(bloated)}" if bloated else "few", advice, warning)
    old = connection.scalar(OLD_TRANSACTIONS, {"minutes": MAX_TRANSACTION_MINUTES}) or 0
    seen = f"{old} older than {MAX_TRANSACTION_MINUTES} minutes"
    yield judged("open transactions", not old, seen, "end them: vacuum cannot remove what they may still see", warning)


def _is_bloated(row: Any) -> bool:
    return bool(row.dead > DEAD_ROWS and row.dead > DEAD_SHARE * (row.live + row.dead))


def _backups(connection: sa.Connection, values: dict[str, str]) -> Finding:
    if values["archive_mode"] != "off":
        return ok("backups", "PostgreSQL archives its log")
    if connection.scalar(sa.text("SELECT count(*) FROM pg_stat_replication")):
        return ok("backups", "a replica follows (which is no backup against mistakes)")
    taken = connection.scalar(BACKED_UP)
    if taken is None:
        seen = "none was taken with `flask --app app backup`, and PostgreSQL archives no log"
    else:
        hours = (datetime.now(UTC) - taken).total_seconds() / 3600
        seen = f"the last one was taken {hours:.0f} hours ago"
        if hours <= MAX_BACKUP_HOURS:
            return ok("backups", seen)
    advice = "run `flask --app app backup` each night, or have the provider do it; try a restore"
    return warning("backups", seen, advice)
