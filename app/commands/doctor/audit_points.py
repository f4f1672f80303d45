"""The point about the audit log: whether its chain holds."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.commands.doctor.finding import Finding, fault, ok, unknown
from app.services.accounts import audit_chain

POINT, NEWEST = "audit log", 10_000
ADVICE = "find out who changed it: compare with an export and with a backup, and keep this database as evidence"
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
