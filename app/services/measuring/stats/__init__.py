"""What happened to how many tasks: counted in the ledger, whatever processes there were and are."""

from app.services.measuring.stats.counted import Change, changes
from app.services.measuring.stats.reporting import Period, Stats, Tally, TypeStats, first_hour, report

__all__ = ["Change", "Period", "Stats", "Tally", "TypeStats", "changes", "first_hour", "report"]
