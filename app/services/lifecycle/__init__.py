"""The one door: the only package that writes `tasks.status`, each time by one guarded statement."""

from app.services.lifecycle.claims import claim, give_back, renew, report_progress
from app.services.lifecycle.door import LOOK_AGAIN, Claim, Holder, LeaseLost, WrongStatus
from app.services.lifecycle.outcomes import complete, fail, retry_later, stopped
from app.services.lifecycle.waiting import Waiting, expire, fall_due, reschedule

__all__ = [
    "LOOK_AGAIN",
    "Claim",
    "Holder",
    "LeaseLost",
    "Waiting",
    "WrongStatus",
    "claim",
    "complete",
    "expire",
    "fail",
    "fall_due",
    "give_back",
    "renew",
    "report_progress",
    "reschedule",
    "retry_later",
    "stopped",
]
