"""How often a scenario repeats itself: in full with CHAOS_FULL=1, otherwise so often that `make chaos` stays short."""

import os

FULL = "CHAOS_FULL"


def repetitions(full: int, short: int) -> int:
    """`full` where CHAOS_FULL is set to something, else `short`. What is checked is the same."""
    return full if os.environ.get(FULL) else short
