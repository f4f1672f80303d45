"""The life cycle: the only package that writes a task's status and when it is dispatched, by guarded statements."""

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
from app.services.lifecycle.hints import Beginning, beginning, left_to_dispatcher
from app.services.lifecycle.holds import OnHold, hold_paused, on_hold, require_admission
from app.services.lifecycle.outcomes import complete, fail, lock_held, retry_later, stopped
from app.services.lifecycle.statements import LOOK_AGAIN, Claim, Holder, LeaseLost, WrongStatus
from app.services.lifecycle.waiting import Waiting, admitted, ask_to_stop, cancel, expire, fall_due, replay, reschedule

__all__ = [
    "INTERRUPTED",
    "LOOK_AGAIN",
    "MAX_INTERRUPTIONS",
    "TOO_MANY_INTERRUPTIONS",
    "Beginning",
    "Claim",
    "Holder",
    "LeaseLost",
    "OnHold",
    "Waiting",
    "WrongStatus",
    "admitted",
    "ask_to_stop",
    "beginning",
    "cancel",
    "claim",
    "complete",
    "expire",
    "fail",
    "fall_due",
    "give_back",
    "held_under",
    "hold_paused",
    "is_interrupted_too_often",
    "left_to_dispatcher",
    "lock_held",
    "on_hold",
    "renew",
    "replay",
    "report_progress",
    "require_admission",
    "reschedule",
    "retry_later",
    "stopped",
]
