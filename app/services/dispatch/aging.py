"""When a waiting task gets another hint at a higher priority, so that low ones never starve. Pure."""

from datetime import datetime, timedelta

from app.models import Priority

LEVELS = (Priority.LOW.value, Priority.NORMAL.value, Priority.HIGH.value)
RISEN = "risen"  # above high: at the end of the high line it would wait for as long as that line is
# The second step comes after half of the first again: half of the ageing time is left for what has risen before it.
STEPS = (1.0, 1.5)


def next_step_at(priority: str, aged: int, *, dispatched_at: datetime, after: timedelta) -> datetime | None:
    """When a task is to rise again; None when it has taken all steps, or is a high one, which never rises."""
    if aged >= len(STEPS) or priority == Priority.HIGH:
        return None
    return dispatched_at + after * STEPS[aged]


def level(priority: str, steps: int) -> str:
    """What a task's hint is published with after so many steps: first one level above its own, then above all."""
    if steps == 0 or priority == Priority.HIGH:
        return priority
    return RISEN if steps >= len(STEPS) else LEVELS[LEVELS.index(priority) + 1]
