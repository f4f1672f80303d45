"""The points about the audit log: whether its chain holds, and whether it is sent to where it should be."""

from datetime import datetime

import sqlalchemy as sa

from app.commands.doctor.finding import Finding, Findings, fault, ok, unknown
from app.config import Settings
from app.config.audit_sink import target_of
from app.database import Session
from app.services.accounts import audit_chain
from app.services.events import sinks

POINT, NEWEST = "audit log", 10_000
ADVICE = "find out who changed it: compare with an export and with a backup, and keep this database as evidence"
SINK_POINT, LATE_SECONDS = "audit sink", 300.0
IS_THERE = sa.text("SELECT to_regclass('public.audit_chain') IS NOT NULL")


def of_audit_log(session: Session, *, whole: bool) -> Finding:
    """Verify the newest entries, or all of them."""
    if not session.scalar(IS_THERE):
        return unknown(POINT, "the tables are not those of this code")
    if whole:
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
    found = audit_chain.verify(session, newest=None if whole else NEWEST)
    if found.fault is None:
        return ok(POINT, f"{found.entries} entries follow from each other")
    return fault(POINT, found.fault, ADVICE)


def of_audit_sink(session: Session, settings: Settings, *, now: datetime) -> Findings:
    """Whether the receiver has the log; nothing where none is configured."""
    if settings.audit_sink_url is None:
        return
    receiver = target_of(settings.audit_sink_url).shown
    found = next((each for each in sinks.statuses(session, now=now) if each.name == sinks.AUDIT), None)
    if found is None or not found.running:
        seen = f"nobody sends the audit log to {receiver}" if found else f"the audit log was never sent to {receiver}"
        yield fault(SINK_POINT, seen, "start `flask --app app sink audit`")
    elif found.lag_seconds > LATE_SECONDS:
        why = found.last_error or "no reason is known"
        seen = f"{found.lag_events} entries wait, the first for {found.lag_seconds:.0f} s: {why}"
        yield fault(SINK_POINT, seen, "bring the receiver back; nothing is lost meanwhile")
    else:
        yield ok(SINK_POINT, f"{receiver} has all but {found.lag_events} entries")
