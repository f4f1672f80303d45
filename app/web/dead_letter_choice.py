"""Which dead letters a mass change is about, as its token and the audit log say it; for the API and the dashboard."""

from datetime import datetime
from typing import Any

from app.clock import rfc_3339
from app.services.tasks.dead_letters import DeadLetterFilter

DEAD_LETTER_ACTIONS = {
    "replay": ("dead_letters.replay_begun", "dead_letters.replayed"),
    "purge": ("dead_letters.purge_begun", "dead_letters.purged"),
}
"""What the audit log says before and after."""


def dead_letter_filter(wanted: DeadLetterFilter) -> dict[str, Any]:
    """Which dead letters are meant, as a token and the audit log say it."""
    moments = {name: value and rfc_3339(value) for name, value in failure_moments(wanted).items()}
    return {"type": wanted.type, "fingerprint": wanted.fingerprint, **moments}


def failure_moments(wanted: DeadLetterFilter) -> dict[str, datetime | None]:
    """Between which moments the dead letters that are meant have failed."""
    return {"failed_after": wanted.failed_after, "failed_before": wanted.failed_before}
