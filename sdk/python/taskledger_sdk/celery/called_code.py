"""What the code of an application calls of Celery that the ledger refuses, or takes differently. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from taskledger_sdk.celery.calls import IGNORED

# Options of a submission that a later attempt cannot change: the row has them from its acceptance on.
KEPT = ("queue", "priority", "expires", "time_limit", "soft_time_limit", "link", "link_error")
SENDS = ("apply_async", "send_task", "retry", "apply_async_on_commit", "signature", "set")


@dataclass(frozen=True, kw_only=True, slots=True)
class CalledCode:
    """One call in a source, and what becomes of it."""

    line: int
    word: Literal["differs", "refused"]
    text: str


def found_in(source: str) -> Iterator[CalledCode]:
    """The calls of a source that are to be said something of. Nothing for what is no Python of this version."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _of_call(node, node.func)


def _of_call(call: ast.Call, function: ast.Attribute) -> Iterator[CalledCode]:
    said = {each.arg: each.value for each in call.keywords if each.arg}
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    if function.attr == "replace" and owner == "self":
        text = "self.replace(): return from the task, and call the other one, or make both steps of a chain"
        yield CalledCode(line=call.lineno, word="refused", text=text)
    elif function.attr == "add_to_chord":
        text = "add_to_chord(): make the task a member of the chord's header from the start"
        yield CalledCode(line=call.lineno, word="refused", text=text)
    elif function.attr == "retry" and _is_false(said.get("throw")):
        text = "retry(throw=False): write `raise self.retry(…)`, which ends the attempt"
        yield CalledCode(line=call.lineno, word="refused", text=text)
    elif function.attr == "retry" and (names := [name for name in said if name in KEPT]):
        text = f"retry({', '.join(f'{name}=…' for name in names)}): a task keeps what it was submitted with"
        yield CalledCode(line=call.lineno, word="differs", text=text)
    if function.attr in SENDS:
        names = [name for name in said if name in IGNORED]
        if names:
            text = f"{', '.join(names)}: a word for a broker, which the ledger ignores"
            yield CalledCode(line=call.lineno, word="differs", text=text)


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
