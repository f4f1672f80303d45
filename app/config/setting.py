"""How a setting is declared: a field that knows its kind, its meaning, an example and its check."""

from collections.abc import Callable
from dataclasses import MISSING, field
from typing import Any


def setting(
    kind: str,
    description: str,
    *,
    example: str,
    default: Any = MISSING,
    check: Callable[[Any], Any] | None = None,
    secret: bool = False,
) -> Any:
    """A field of a settings class; `kind` is how environs reads it, a secret is left out of its repr."""
    metadata = {"kind": kind, "description": description, "example": example, "check": check}
    return field(default=default, repr=not secret, metadata=metadata)


def words(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated setting."""
    return tuple(part for part in (each.strip() for each in text.split(",")) if part)
