"""What people see first: how much waits, what happened lately, who works. Every look is bounded, however many rows.

`owner`: whose tasks are meant; None is everybody's.
"""

from app.services.measuring.overview.counts import MAX_COUNTED, Standing, standing
from app.services.measuring.overview.fleet import DutyState, WorkerState, duties, workers
from app.services.measuring.overview.series import Series, recent

__all__ = [
    "MAX_COUNTED",
    "DutyState",
    "Series",
    "Standing",
    "WorkerState",
    "duties",
    "recent",
    "standing",
    "workers",
]
