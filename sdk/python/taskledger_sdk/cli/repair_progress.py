"""How far a repair is, in one line and in a table."""

from collections.abc import Mapping
from typing import Any

BAR_COLUMNS = 20
FULL, HALF, EMPTY = "\u2588", "\u2592", "\u2591"
WORDS = (
    ("well", "well"),
    ("failed", "failed"),
    ("cancelled", "cancelled"),
    ("refused", "refused"),
    ("passed_over", "passed over"),
    ("undone", "undone"),
)


def line(repair: Mapping[str, Any]) -> str:
    """A bar (full: ended; half: replayed and under way), the status, the rate, and what became of how many. Pure."""
    counts, count = repair["counts"], repair["count"]
    ended = count - counts["remaining"] - counts["unended"]
    told = [
        bar(ended, counts["unended"], count),
        f"{100 * ended // count if count else 100} %",
        repair["status"],
        f"{ended} of {count}",
    ]
    if repair["rate"]:
        told.append(f"{repair['rate']:.0f}/s")
    told += [f"{counts[name]} {word}" for name, word in WORDS if counts[name]]
    return " ".join(told)


def bar(ended: int, unended: int, count: int) -> str:
    """A bar of BAR_COLUMNS characters. Pure."""
    if not count:
        return FULL * BAR_COLUMNS
    full = BAR_COLUMNS * ended // count
    half = BAR_COLUMNS * (ended + unended) // count - full
    return FULL * full + HALF * half + EMPTY * (BAR_COLUMNS - full - half)
