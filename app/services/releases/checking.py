"""The release check: everything that is stored and would be refused, or have no type, after a release."""

from datetime import datetime

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict
from app.services.encryption import ciphertexts
from app.services.releases import stored_definitions, stored_tasks
from app.services.releases.findings import Findings, Report
from app.services.releases.new_release import NewRelease

_ONE_AT_A_TIME = sa.text("SELECT pg_try_advisory_xact_lock(hashtext('taskledger.release_check'))")
LOOKS = (
    stored_definitions.look_at_schedules,
    stored_definitions.look_at_triggers,
    stored_definitions.look_at_workflows,
    stored_definitions.look_at_runs,
)
"""What is looked at beside tasks. Whatever else keeps payloads for later belongs here, with a kind of its own."""


def check(session: Session, release: NewRelease, *, payload_keys: ciphertexts.Keys, now: datetime) -> Report:
    """What the release would break. Nothing is changed.

    Raises Conflict while another check runs: each reads up to a few hundred thousand payloads.
    """
    if not session.scalar(_ONE_AT_A_TIME):
        raise Conflict("Another release check is under way: wait for its end, and send this one again.")
    findings = Findings()
    counted = stored_tasks.look(session, release, findings, payload_keys=payload_keys)
    for look in LOOKS:
        look(session, release, findings)
    return findings.report(at=now, unchanged=counted.unchanged, upgraded=counted.upgraded)
