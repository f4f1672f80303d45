"""What can be wrong with a workflow, with the input of a run, or with a step when its turn comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from taskledger_sdk.errors import PermanentError, TaskError

MAX_FAULTS = 50
MAX_GUESSES = 10  # one among a thousand names takes 40 ms, and a definition may hold 50,000 that are wrong
MAX_MESSAGE = 500


class DefinitionRefused(TaskError):
    """The definition cannot be run; `errors` holds the path of each fault, from "definition" down."""

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__(errors)
        self.errors = errors


class InputRefused(TaskError):
    """A run cannot be started with this input; `errors` as in DefinitionRefused, from "input" down."""

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__(errors)
        self.errors = errors


class StepRefused(PermanentError):
    """A step's turn has come, and what it refers to is not there or does not fit."""


class Faults:
    """Messages by path, as many as help somebody."""

    def __init__(self) -> None:
        self._tree: dict[str, Any] = {}
        self._count = 0
        self._guesses = 0

    def __bool__(self) -> bool:
        return self._count > 0

    @property
    def tree(self) -> dict[str, Any]:
        """Nested messages."""
        return self._tree

    def add(self, path: Sequence[str], message: str) -> None:
        """Note a message at a path."""
        self._count += 1
        if self._count > MAX_FAULTS:
            return
        place = self._tree
        for key in path[:-1]:
            below = place.setdefault(_shown(key), {})
            if isinstance(below, list):
                below = place[_shown(key)] = {"_schema": below}
            place = below
        messages = place.setdefault(_shown(path[-1]), [])
        if isinstance(messages, dict):
            messages = messages.setdefault("_schema", [])
        messages.append(message[:MAX_MESSAGE])

    def nearest(self, name: str, known: Iterable[str]) -> str:
        """What to say of a name that is not known, if there is one like it; the first few are looked for."""
        self._guesses += 1
        found = get_close_matches(name[:100], list(known), n=1) if self._guesses <= MAX_GUESSES else []
        return f"; did you mean {found[0]!r}?" if found else ""


def _shown(key: str) -> str:
    return key[:80]
