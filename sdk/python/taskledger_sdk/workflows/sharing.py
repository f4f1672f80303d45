"""What a step says of its task's keys and labels: templates that come to texts when its turn comes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskledger_sdk.defaults import LABEL_NAME, MAX_KEY, MAX_LABEL, MAX_LABELS
from taskledger_sdk.workflows.errors import Faults, StepRefused
from taskledger_sdk.workflows.templates import FROM, LITERAL, TEXT, Lookup, render


def key(template: Any, path: Sequence[str], faults: Faults) -> Any:
    """A key as it is written; notes one that can be no text."""
    if template is not None and not _is_text(template, MAX_KEY):
        faults.add(path, f'must be a text of 1 to {MAX_KEY} characters, or a template such as {{"$from": "input.id"}}')
    return template


def labels(said: Any, path: Sequence[str], faults: Faults) -> Mapping[str, Any]:
    """Labels as they are written; notes what is wrong with each."""
    if said is None:
        return {}
    if not isinstance(said, dict) or len(said) > MAX_LABELS:
        faults.add(path, f"must be an object of at most {MAX_LABELS} names")
        return {}
    for name, template in said.items():
        if not LABEL_NAME.fullmatch(name):
            faults.add((*path, name), "its name must be up to 63 of A-Z, a-z, 0-9, _ . / -, a letter or digit first")
        if not _is_text(template, MAX_LABEL):
            faults.add((*path, name), f"must be a text of 1 to {MAX_LABEL} characters, or a template")
    return said


def text_of(template: Any, lookup: Lookup, name: str, most: int) -> str | None:
    """What a template comes to; None for null and for an empty text. Raises StepRefused for what is no short text."""
    if template is None:
        return None
    value = render(template, lookup, (name,))
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int):
        value = str(value)
    if value is not None and (not isinstance(value, str) or len(value) > most or "\0" in value):
        raise StepRefused(f"{name}: must come to a text of at most {most} characters, a whole number or a boolean")
    return value or None


def _is_text(template: Any, most: int) -> bool:
    if isinstance(template, dict):
        return any(word in template for word in (FROM, TEXT, LITERAL))
    return isinstance(template, str) and 1 <= len(template) <= most and "\0" not in template
