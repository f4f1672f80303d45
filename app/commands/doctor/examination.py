"""Looks at every point that can be looked at; what is behind a fault is unknown, not left out."""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from app.commands.doctor import (
    audit_points,
    database_points,
    host_points,
    key_points,
    service_points,
    settings_points,
)
from app.commands.doctor.finding import Finding, Findings, fault, unknown
from app.config import FROM_FILES, Settings, get_settings, given_here
from app.config.secret_files import with_files
from app.database import Session, make_engine
from app.errors import SettingsError
from app.factory import MIGRATIONS
from app.observability.scrubbing import scrub

BEHIND_THE_DATABASE = ("migrations", "backups", "dispatcher", "workers", "integrity", "keys", "audit log")
DEFAULT_API_PROCESSES = 1


def examine(environ: Mapping[str, str] = os.environ, *, whole_audit_log: bool = False) -> list[Finding]:
    """Every finding, in the order of the checklist (docs/how-to/production-checklist.md)."""
    with suppress(SettingsError):  # of an embedded.env that cannot be read; get_settings says so below
        environ = given_here(environ)
    given = with_files(environ, FROM_FILES)[0]
    findings = list(settings_points.environment({name: value for name, value in given.items() if value.strip()}))
    try:
        settings = get_settings()
    except SettingsError as error:
        known = {f"{found.seen}: {found.advice}".removesuffix(": ") for found in findings}
        findings += settings_points.unusable([each for each in error.faults if each not in known])
        findings += [unknown(point, "the settings are not usable") for point in ("database", "broker")]
        return findings
    api_processes, unreadable = _api_processes(given.get("WEB_CONCURRENCY", ""))
    findings += unreadable
    findings += settings_points.of_settings(settings, api_processes=api_processes)
    findings += host_points.of_host(settings)
    findings += service_points.of_broker(settings)
    findings += _behind_the_database(settings, api_processes, whole_audit_log=whole_audit_log)
    return findings


def _api_processes(given: str) -> tuple[int, list[Finding]]:
    """The number of processes in the variable of gunicorn, read as gunicorn reads it."""
    try:
        return int(given or DEFAULT_API_PROCESSES), []
    except ValueError:
        seen = f"WEB_CONCURRENCY is refused: {given!r} is no number"
        return DEFAULT_API_PROCESSES, [fault("settings", seen, "set it to a number of processes, such as 2")]


def _behind_the_database(settings: Settings, api_processes: int, *, whole_audit_log: bool) -> Findings:
    engine = make_engine(settings, application_name="taskledger doctor")
    heads = ScriptDirectory(str(MIGRATIONS)).get_heads()
    try:
        with engine.connect() as connection:
            yield from database_points.of_database(
                connection, settings, heads=heads, api_processes=api_processes, clock=datetime.now(UTC)
            )
            if connection.scalar(sa.text("SELECT to_regclass('public.duties')")) is None:
                yield from (unknown(point, "there are no tables yet") for point in BEHIND_THE_DATABASE[2:])
                return
            now = connection.scalar(sa.text("SELECT now()")) or datetime.now(UTC)
            with Session(connection) as session:
                yield from service_points.of_processes(session, now=now)
                yield from service_points.of_sinks(session, now=now)
                yield from audit_points.of_audit_sink(session, settings, now=now)
                yield from service_points.of_ledger(session, now=now)
                yield from key_points.of_keys(session, settings)
                yield audit_points.of_audit_log(session, whole=whole_audit_log)
    except sa.exc.OperationalError as error:
        advice = "is it running, and are host, password and database right?"
        yield fault("database", scrub(str(error.orig).strip()), advice)
        yield from (unknown(point, "the database does not answer") for point in BEHIND_THE_DATABASE)
    except sa.exc.ProgrammingError as error:  # tables of an older version, or of somebody else's
        first_line = scrub(str(error.orig).strip()).partition("\n")[0]
        yield fault("database", first_line, "run `flask --app app setup` as the role that owns the tables")
        yield from (unknown(point, "the tables are not those of this code") for point in BEHIND_THE_DATABASE[-4:])
    finally:
        engine.dispose()
