"""The order of steps: which come before which, and where they run in a circle."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from taskledger_sdk.workflows.errors import Faults
from taskledger_sdk.workflows.model import Step


def ordered(steps: Mapping[str, Step], root: Sequence[str], faults: Faults) -> dict[str, Step] | None:
    """The steps, each after those it waits for, otherwise as they were written; None when that cannot be."""
    if not _all_known(steps, root, faults):
        return None
    waits_for = {key: len(step.after) for key, step in steps.items()}
    followers: dict[str, list[str]] = {key: [] for key in steps}
    for step in steps.values():
        for before in step.after:
            followers[before].append(step.key)
    ready = deque(key for key, count in waits_for.items() if not count)
    found: dict[str, Step] = {}
    while ready:
        key = ready.popleft()
        found[key] = steps[key]
        for follower in followers[key]:
            waits_for[follower] -= 1
            if not waits_for[follower]:
                ready.append(follower)
    if len(found) == len(steps):
        return found
    circle = _circle({key: step for key, step in steps.items() if key not in found})
    shown = " → ".join(circle[:10] + (["…"] if len(circle) > 10 else []) + circle[:1])
    faults.add((*root, "steps", circle[0], "after"), f"closes a cycle: {shown}")
    return None


def _all_known(steps: Mapping[str, Step], root: Sequence[str], faults: Faults) -> bool:
    for step in steps.values():
        for before in step.after:
            if before not in steps:
                guess = faults.nearest(before, steps)
                faults.add((*root, "steps", step.key, "after"), f"there is no step {before[:100]!r}{guess}")
    return not faults


def _circle(stuck: Mapping[str, Step]) -> list[str]:
    """Steps that wait for each other, each before the one that waits for it."""
    key = next(iter(stuck))
    path: dict[str, int] = {}
    while key not in path:
        path[key] = len(path)
        # Of a step that is stuck, one that it waits for is stuck, too.
        key = next(before for before in stuck[key].after if before in stuck)
    return list(path)[path[key] :][::-1]


def ancestors(steps: Mapping[str, Step]) -> dict[str, set[str]]:
    """All steps that come before each; `steps` are in order. As bits, because a thousand steps have half a million."""
    numbers = {key: number for number, key in enumerate(steps)}
    keys = list(steps)
    bits: dict[str, int] = {}
    for key, step in steps.items():
        bits[key] = 0
        for before in step.after:
            bits[key] |= bits[before] | 1 << numbers[before]
    return {key: _named(mask, keys) for key, mask in bits.items()}


def _named(mask: int, keys: Sequence[str]) -> set[str]:
    found = set()
    while mask:
        lowest = mask & -mask
        found.add(keys[lowest.bit_length() - 1])
        mask ^= lowest
    return found
