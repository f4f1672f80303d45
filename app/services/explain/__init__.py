"""Why is my task not running: one cause with its evidence, and what to do about it."""

from app.services.explain.answers import Answer
from app.services.explain.causes import CAUSES, rank
from app.services.explain.evidence import Evidence
from app.services.explain.questions import why, why_run, why_schedule
from app.services.explain.run_causes import CAUSES as RUN_CAUSES
from app.services.explain.slot_causes import CAUSES as SCHEDULE_CAUSES

__all__ = ["CAUSES", "RUN_CAUSES", "SCHEDULE_CAUSES", "Answer", "Evidence", "rank", "why", "why_run", "why_schedule"]
