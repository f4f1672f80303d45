"""Conditions of steps: {"greater": [{"$from": "steps.fetch.result.order_count"}, 0]} and their like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from taskledger_sdk.workflows.errors import Faults, StepRefused
from taskledger_sdk.workflows.templates import FROM, MAX_LEVELS, Lookup, Missing, Reference, check, reference_of, render

COMPARING = ("equals", "not_equals", "greater", "at_least", "less", "at_most", "in")
JOINING = ("all", "any")
KNOWN = f"{', '.join((*COMPARING, *JOINING))}, not, exists, or a reference to true or false"
PAIR = 2
MAX_SHOWN = 60
SAID = {
    "equals": "is not",
    "not_equals": "is",
    "greater": "is not greater than",
    "at_least": "is less than",
    "less": "is not less than",
    "at_most": "is greater than",
    "in": "is not in",
}
"""What to say of two values of which a comparison does not hold."""


def check_condition(
    condition: Any, path: Sequence[str], faults: Faults, level: int = 1
) -> list[tuple[tuple[str, ...], Reference]]:
    """The references in a condition, each with its place; notes what is wrong with it."""
    if level > MAX_LEVELS:
        faults.add(path, f"is nested too deeply: a condition has {MAX_LEVELS} levels at most")
        return []
    if isinstance(condition, bool):
        return []
    if isinstance(condition, dict) and FROM in condition:
        return check(condition, path, faults)
    if not isinstance(condition, dict) or len(condition) != 1:
        faults.add(path, f"must be an object with one of: {KNOWN}")
        return []
    ((word, given),) = condition.items()
    place = (*path, word)
    if word in JOINING and isinstance(given, list) and given:
        parts = [check_condition(each, (*place, str(index)), faults, level + 1) for index, each in enumerate(given)]
        return [reference for part in parts for reference in part]
    if word == "not":
        return check_condition(given, place, faults, level + 1)
    if word == "exists" and isinstance(given, dict) and given.keys() == {FROM}:
        return check(given, place, faults)
    if word in COMPARING and isinstance(given, list) and len(given) == PAIR:
        return check(given, place, faults)
    faults.add(place, f"is no condition: comparisons take two values in a list; known: {KNOWN}")
    return []


def holds(condition: Any, lookup: Lookup, path: tuple[str, ...] = ("when",)) -> bool:
    """Whether a condition holds. Raises StepRefused for what cannot be compared, or is not there."""
    if isinstance(condition, bool):
        return condition
    if FROM in condition:
        value = render(condition, lookup, path)
        if not isinstance(value, bool):
            raise StepRefused(f"{'.'.join(path)}: must be true or false; compare it with something")
        return value
    ((word, given),) = condition.items()
    if word == "all":
        return all(holds(each, lookup, (*path, word, str(index))) for index, each in enumerate(given))
    if word == "any":
        return any(holds(each, lookup, (*path, word, str(index))) for index, each in enumerate(given))
    if word == "not":
        return not holds(given, lookup, (*path, word))
    if word == "exists":
        return _exists(given, lookup)
    left, right = render(given, lookup, (*path, word))
    return _compared(word, left, right, (*path, word))


def unmet(condition: Any, lookup: Lookup, shown: Lookup, path: tuple[str, ...] = ("when",)) -> str | None:
    """Why a condition does not hold, for people: its first part that does not, with its values; None when it holds.

    `shown` looks up what may be told of a value, where `lookup` compares. Raises StepRefused as `holds` does.
    """
    word = next(iter(condition)) if isinstance(condition, dict) else ""
    if word == "all":
        parts = enumerate(condition[word])
        reasons = (unmet(each, lookup, shown, (*path, word, str(index))) for index, each in parts)
        return next((reason for reason in reasons if reason is not None), None)
    if holds(condition, lookup, path):
        return None
    return f"{'.'.join((*path, word) if word and word != FROM else path)}: {_denied(word, condition, shown)}"


def _denied(word: str, condition: Any, shown: Lookup) -> str:
    """What is so, in the place of a condition that does not hold."""
    if word in COMPARING:
        left, right = render(condition[word], shown)
        return f"{_brief(left)} {SAID[word]} {_brief(right)}"
    if word == "any":
        return "none of its parts holds"
    if word == "exists":
        return f"there is no {condition[word][FROM]}"
    return "what it denies holds" if word == "not" else "it is false"


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _exists(given: dict[str, Any], lookup: Lookup) -> bool:
    """Whether there is something that is not null."""
    reference = reference_of(given[FROM])
    try:
        return reference is not None and lookup(reference) is not None
    except Missing:
        return False


def _compared(word: str, left: Any, right: Any, path: tuple[str, ...]) -> bool:
    if word in ("equals", "not_equals"):
        return _same(left, right) == (word == "equals")
    if word == "in":
        if not isinstance(right, list):
            raise StepRefused(f"{'.'.join(path)}: its second value must be a list")
        return any(_same(left, each) for each in right)
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (left, right))
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise StepRefused(f"{'.'.join(path)}: only two numbers or two texts have an order")
    results = {"greater": left > right, "at_least": left >= right, "less": left < right, "at_most": left <= right}
    return bool(results[word])


def _same(left: Any, right: Any) -> bool:
    """Equal in JSON, where true is not 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
