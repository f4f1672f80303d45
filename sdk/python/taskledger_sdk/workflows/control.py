"""Steps without a task type of their own: waiting for a signal or a moment, and runs of other workflows. Pure.

Each becomes a task of a type that the service brings for it, so that it is seen, cancelled and retried like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from taskledger_sdk.workflows.errors import Faults
from taskledger_sdk.workflows.templates import FROM, LITERAL, TEXT, TYPES_OF_CONTROL

WAIT_FOR, SLEEP, SUB_WORKFLOW, FAN_OUT = TYPES_OF_CONTROL
SKIP, FAIL = "skip", "fail"
ON_TIMEOUT = (FAIL, SKIP)
MAX_WAIT_SECONDS = int(timedelta(days=3660).total_seconds())
MAX_SIGNAL, MAX_WORKFLOW = 100, 100
UNDO_ITEMS, UNDO_RUN = "undo_items", "undo_run"
"""Task types that take back what steps with `for_each`, and runs of other workflows, have done."""
WORDS = ("wait_for", "sleep", "until", "workflow")
"""Each makes a step one of these; what else belongs to it stands in BESIDE."""
BESIDE = {
    "wait_for": ("schema", "timeout", "on_timeout"),
    "sleep": (),
    "until": (),
    "workflow": ("input",),
}
SIGNAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")


def word_of(said: Mapping[str, Any]) -> str | None:
    """The word that makes a step, as it is written, one without a type; None for all others."""
    return next((word for word in WORDS if word in said), None)


def written(said: Mapping[str, Any], word: str) -> dict[str, Any]:
    """What stands in the place of type and payload."""
    return {name: said[name] for name in (word, *BESIDE[word]) if said.get(name) is not None}


def compiled(said: Mapping[str, Any], word: str) -> tuple[str, Any]:
    """The type and the payload, a template, of the task that such a step is."""
    if word == "wait_for":
        payload: dict[str, Any] = {"signal": said[word]}
        if said.get("schema") is not None:
            payload["schema"] = {LITERAL: said["schema"]}
        if said.get("timeout") is not None:
            payload["timeout"] = said["timeout"]
        if said.get("on_timeout") is not None:
            payload["on_timeout"] = said["on_timeout"]
        return WAIT_FOR, payload
    if word == "workflow":
        return SUB_WORKFLOW, {"workflow": said[word], "input": said.get("input", {})}
    return SLEEP, {"seconds" if word == "sleep" else "until": said[word]}


def check(said: Mapping[str, Any], word: str, path: Sequence[str], faults: Faults) -> None:
    """Note what is wrong with what stands in the place of type and payload."""
    others = [other for other in (*WORDS, "type", "payload") if other != word and other in said]
    for other in others:
        faults.add((*path, other), f"and {word} exclude each other: a step is one of them")
    if word == "wait_for":
        _check_wait(said, path, faults)
    elif word == "workflow":
        _check_name(said[word], (*path, word), MAX_WORKFLOW, faults)
        if not isinstance(said.get("input", {}), dict):
            faults.add((*path, "input"), "must be an object: the input of the run, or a template of it")
    elif word == "sleep":
        _check_seconds(said[word], (*path, word), faults)
    elif not isinstance(said[word], str) and not _is_template(said[word]):
        faults.add((*path, word), "must be a moment such as 2030-01-01T00:00:00Z, or a template that comes to one")


def _check_wait(said: Mapping[str, Any], path: Sequence[str], faults: Faults) -> None:
    if not isinstance(said["wait_for"], str) or not SIGNAL.fullmatch(said["wait_for"]):
        faults.add((*path, "wait_for"), "must be 1 to 100 of A-Z, a-z, 0-9, _ . : -, and a letter or digit at first")
    if "schema" in said and not isinstance(said["schema"], dict):
        faults.add((*path, "schema"), "must be a JSON Schema: an object")
    timeout = said.get("timeout")
    if timeout is not None:
        _check_seconds(timeout, (*path, "timeout"), faults)
    if said.get("on_timeout", FAIL) not in ON_TIMEOUT:
        faults.add((*path, "on_timeout"), f"must be one of {', '.join(ON_TIMEOUT)}")
    elif "on_timeout" in said and timeout is None:
        faults.add((*path, "on_timeout"), "says nothing without a timeout: the step waits without end")


def _check_name(name: Any, path: Sequence[str], longest: int, faults: Faults) -> None:
    is_name = isinstance(name, str) and 1 <= len(name) <= longest and not set(name) & set("#[]\0")
    if not is_name:
        faults.add(path, f"must be a text of 1 to {longest} characters without #, [ and ]")


def _check_seconds(value: Any, path: Sequence[str], faults: Faults) -> None:
    if _is_template(value):
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_WAIT_SECONDS:
        faults.add(path, f"must be from 0 to {MAX_WAIT_SECONDS} seconds, or a template that comes to them")


def _is_template(value: Any) -> bool:
    return isinstance(value, dict) and any(word in value for word in (FROM, TEXT, LITERAL))
