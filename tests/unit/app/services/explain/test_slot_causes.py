"""Why a schedule does not fire now: one cause, in order."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.models import Overlap, ScheduleRecord
from app.services.explain.slot_causes import rank_schedule

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID = UUID("018f3c5e-7d2a-7000-8000-0123456789ab")


def schedule(**columns) -> ScheduleRecord:
    """One that fires in an hour and lets its tasks overlap."""
    values = {"id": ID, "enabled": True, "overlap": Overlap.ALLOW, "next_at": NOON + HOUR}
    return ScheduleRecord(**{**dict.fromkeys(each.name for each in fields(ScheduleRecord)), **values, **columns})


@pytest.mark.parametrize(
    ("columns", "is_busy", "cause"),
    [
        ({}, False, "not_due"),
        ({}, True, "not_due"),
        ({"next_at": NOON}, False, "slot_due"),
        ({"next_at": None}, False, "no_slot_left"),
        ({"overlap": Overlap.SKIP, "last_task_id": ID}, True, "overlap"),
        ({"overlap": Overlap.SKIP, "last_task_id": ID}, False, "not_due"),
        ({"queued_slot_at": NOON, "last_run_id": ID}, True, "overlap"),
        ({"problem": "there is no such zone", "next_at": None}, True, "problem"),
        ({"enabled": False, "problem": "there is no such zone"}, True, "disabled"),
    ],
)
def test_the_cause_is_the_first_that_holds(columns, is_busy, cause):
    assert rank_schedule(schedule(**columns), last_status="PROCESSING", is_busy=is_busy, now=NOON).cause == cause


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"overlap": Overlap.SKIP, "last_task_id": ID},
            "The task of its last slot is PROCESSING, so its next slot is sk",
        ),
        (
            {"overlap": Overlap.QUEUE_ONE, "last_run_id": ID},
            "The run of its last slot is PROCESSING, so its next slot waits",
        ),
        ({"queued_slot_at": NOON, "last_run_id": ID}, "so its slot of 2026-11-28T12:00:00Z waits"),
    ],
)
def test_what_blocks_it_is_named_with_what_becomes_of_the_slot(columns, said):
    answer = rank_schedule(schedule(**columns), last_status="PROCESSING", is_busy=True, now=NOON)

    assert said in answer.summary
    assert f"/{ID}/why" in answer.fix


def test_one_whose_declaration_is_gone_says_so():
    answer = rank_schedule(schedule(enabled=False, withdrawn=True), last_status=None, is_busy=False, now=NOON)

    assert (answer.cause, "there no more" in answer.summary) == ("disabled", True)
    assert "PATCH" not in answer.fix
