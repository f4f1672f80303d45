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
from app.services.lifecycle.family import record_ended, release_next
from app.services.lifecycle.hints import Beginning, beginning, left_to_dispatcher
from app.services.lifecycle.holds import OnHold, hold_paused, on_hold, require_admission
from app.services.lifecycle.outcomes import (
    NewPayload,
    complete,
    fail,
    lock_held,
    retry_as_asked,
    retry_later,
    stopped,
)
from app.services.lifecycle.replays import BeforeReplay, OldPayload, replay_with, unreplay
from app.services.lifecycle.schema_holds import hold_for_schema, of_other_schemas
from app.services.lifecycle.signals import send as send_signal
from app.services.lifecycle.statements import LOOK_AGAIN, Claim, Holder, LeaseLost, WrongStatus
from app.services.lifecycle.suspension import has_open_children, look, start_over, suspend, wake, wake_due
from app.services.lifecycle.waiting import Waiting, admitted, ask_to_stop, cancel, expire, fall_due, replay, reschedule
from app.services.lifecycle.waits import Waits

__all__ = [
    "INTERRUPTED",
    "LOOK_AGAIN",
    "MAX_INTERRUPTIONS",
    "TOO_MANY_INTERRUPTIONS",
    "BeforeReplay",
    "Beginning",
    "Claim",
    "Holder",
    "LeaseLost",
    "NewPayload",
    "OldPayload",
    "OnHold",
    "Waiting",
    "Waits",
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
    "has_open_children",
    "held_under",
    "hold_for_schema",
    "hold_paused",
    "is_interrupted_too_often",
    "left_to_dispatcher",
    "lock_held",
    "look",
    "of_other_schemas",
    "on_hold",
    "record_ended",
    "release_next",
    "renew",
    "replay",
    "replay_with",
    "report_progress",
    "require_admission",
    "reschedule",
    "retry_as_asked",
    "retry_later",
    "send_signal",
    "start_over",
    "stopped",
    "suspend",
    "unreplay",
    "wake",
    "wake_due",
]
