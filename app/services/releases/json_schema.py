"""JSON Schemas (2020-12) that come from outside: nothing is fetched, patterns end in time, no value is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs

from app.errors import TaskledgerError

MAX_FAULTS = 20
MAX_MESSAGE = 300
# A pattern that looks back gives up after so many steps; others take a time that grows with the text only.
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=1 << 20, dfa_size_limit=1 << 20)


class BadSchema(TaskledgerError):
    """What was given is no JSON Schema of ours: wrong itself, or with a reference to somewhere else."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a schema refuses, and where: `keyword` is that of the schema."""

    path: tuple[str, ...]
    message: str
    keyword: str


class Schema:
    """A schema, compiled."""

    def __init__(self, schema: Any) -> None:
        """Raises BadSchema."""
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                schema, validate_formats=True, retriever=_fetch_nothing, mask="the value", pattern_options=_PATTERNS
            )
        except (ValueError, TypeError, OverflowError) as error:
            raise BadSchema(f"is no JSON Schema that can be used: {_shortened(error)}") from None

    def takes(self, value: Any) -> bool:
        """Whether the value fits."""
        return self._validator.is_valid(value)

    def faults(self, value: Any) -> list[Fault]:
        """The first faults of a value; none where it fits. Messages name keys and what is allowed, never a value."""
        return list(islice(self._faults(value), MAX_FAULTS))

    def _faults(self, value: Any) -> Iterator[Fault]:
        for error in self._validator.iter_errors(value):
            yield Fault(tuple(map(str, error.instance_path)), _shortened(error.message), error.kind.name)


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri[:100]} is not part of the schema, and nothing is fetched")


def _shortened(error: object) -> str:
    text = str(error).partition("\n")[0]
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"
