"""When a waiting task gets another hint at a higher priority, so that low ones never starve. Pure."""

from datetime import datetime, timedelta

from app.models import Priority

LEVELS = (Priority.LOW, Priority.NORMAL, Priority.HIGH)
# The second step comes after half of the first again: under endless high load a low task is a high one, at the end of
# its line, after one and a half times the ageing time.
STEPS = (1.0, 1.5)


def next_step_at(priority: str, aged: int, *, dispatched_at: datetime, after: timedelta) -> datetime | None:
    """When a task is to rise by another level; None when it is at the top, or has taken all steps."""
    if aged >= len(STEPS) or level(priority, aged) == Priority.HIGH:
        return None
    return dispatched_at + after * STEPS[aged]


def level(priority: str, steps: int) -> str:
    """The priority so many steps above a task's own."""
    at = LEVELS.index(Priority(priority)) + steps
    return LEVELS[min(at, len(LEVELS) - 1)].value
