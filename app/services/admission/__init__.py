"""Admission: which of the held tasks may go to the workers now, under limits, by owner's turn and in order by key."""

from app.services.admission import declared
from app.services.admission.explaining import Obstacle, obstacle
from app.services.admission.fair_share import StrideScheduler
from app.services.admission.ledger import Busy, Held, admit, busy, gate_earlier, promote_first
from app.services.admission.limits import KINDS, Limit, Rate, read, remove, set_limit, usage

__all__ = [
    "KINDS",
    "Busy",
    "Held",
    "Limit",
    "Obstacle",
    "Rate",
    "StrideScheduler",
    "admit",
    "busy",
    "declared",
    "gate_earlier",
    "obstacle",
    "promote_first",
    "read",
    "remove",
    "set_limit",
    "usage",
]
