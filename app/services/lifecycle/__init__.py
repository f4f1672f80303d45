"""The one door: the only package that writes `tasks.status`, each time by one guarded statement."""

from app.services.lifecycle.claims import (
    INTERRUPTED,
    MAX_INTERRUPTIONS,
    TOO_MANY_INTERRUPTIONS,
    claim,
    give_back,
    held_under,
    is_interrupted_too_often,
    renew,
    report_progress,
)
from app.services.lifecycle.outcomes import complete, fail, lock_held, retry_later, stopped
from app.services.lifecycle.statements import LOOK_AGAIN, Claim, Holder, LeaseLost, WrongStatus
from app.services.lifecycle.waiting import Waiting, admitted, ask_to_stop, cancel, expire, fall_due, replay, reschedule

__all__ = [
    "INTERRUPTED",
    "LOOK_AGAIN",
    "MAX_INTERRUPTIONS",
    "TOO_MANY_INTERRUPTIONS",
    "Claim",
    "Holder",
    "LeaseLost",
    "Waiting",
    "WrongStatus",
    "admitted",
    "ask_to_stop",
    "cancel",
    "claim",
    "complete",
    "expire",
    "fail",
    "fall_due",
    "give_back",
    "held_under",
    "is_interrupted_too_often",
    "lock_held",
    "renew",
    "replay",
    "report_progress",
    "reschedule",
    "retry_later",
    "stopped",
]
