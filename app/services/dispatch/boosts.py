"""When a waiting task gets another hint at a higher priority, so that low ones never starve. Pure."""

from datetime import datetime, timedelta

from app.models import Priority

LEVELS = (Priority.LOW.value, Priority.NORMAL.value, Priority.HIGH.value)
BOOSTED = "boosted"  # above high: at the end of the high line it would wait for as long as that line is
# The second boost comes after half of the first wait again: half of it is left for what was boosted before.
WAITS = (1.0, 1.5)


def next_boost_at(priority: str, boosts: int, *, dispatched_at: datetime, after: timedelta) -> datetime | None:
    """When a task gets its next boost; None when it has had all, or is a high one, which gets none."""
    if boosts >= len(WAITS) or priority == Priority.HIGH:
        return None
    return dispatched_at + after * WAITS[boosts]


def level(priority: str, boosts: int) -> str:
    """What a task's hint is published with after so many boosts: first one level above its own, then above all."""
    if boosts == 0 or priority == Priority.HIGH:
        return priority
    return BOOSTED if boosts >= len(WAITS) else LEVELS[LEVELS.index(priority) + 1]
