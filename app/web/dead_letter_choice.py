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


def dead_letter_filter(criteria: DeadLetterFilter) -> dict[str, Any]:
    """Which dead letters are meant, as a token and the audit log say it."""
    moments = {name: value and rfc_3339(value) for name, value in failure_moments(criteria).items()}
    return {"type": criteria.type, "fingerprint": criteria.fingerprint, **moments}


def failure_moments(criteria: DeadLetterFilter) -> dict[str, datetime | None]:
    """Between which moments the dead letters that are meant have failed."""
    return {"failed_after": criteria.failed_after, "failed_before": criteria.failed_before}
