"""Duty: remove files that have expired, were deleted or replaced, or never arrived."""

from datetime import datetime

from app.database import in_transaction
from app.services import artifacts


class SweepArtifacts:
    """One batch a run; the duty runs again at once while there is more."""

    def run_once(self, now: datetime) -> int:
        """Remove a batch; returns how many rows went or were hidden."""
        return in_transaction(lambda session: artifacts.sweep(session, artifacts.store(), now=now))
