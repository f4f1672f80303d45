"""Admission: which tasks on hold may go to the workers now, under limits, by owner's turn and in order by key."""

from app.services.admission import declared
from app.services.admission.explaining import Obstacle, obstacle
from app.services.admission.fair_share import StrideScheduler
from app.services.admission.ledger import Demand, LaneCursor, admit, bring_under_limits, demand, promote_first
from app.services.admission.limits import KINDS, Limit, Rate, read, remove, set_limit, usage

__all__ = [
    "KINDS",
    "Demand",
    "LaneCursor",
    "Limit",
    "Obstacle",
    "Rate",
    "StrideScheduler",
    "admit",
    "bring_under_limits",
    "declared",
    "demand",
    "obstacle",
    "promote_first",
    "read",
    "remove",
    "set_limit",
    "usage",
]
