"""A release that is about to come: the types that it brings, and which types it speaks for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.services.releases.json_schema import Schema
from taskledger_sdk.registry import find_type, load_types
from taskledger_sdk.upgrades import schema_hash_of


@dataclass(frozen=True, kw_only=True, slots=True)
class NewType:
    """A task type of the new release."""

    schema: Schema
    schema_hash: str
    upgrade: tuple[str, ...] = ()
    """The hashes of earlier schemas whose payloads it upgrades."""

    @property
    def understood(self) -> tuple[str, ...]:
        """The schemas whose payloads need no look: its own, where nothing has changed, and those it upgrades."""
        return (self.schema_hash, *self.upgrade)


def new_type(schema: Any, *, upgrade: Sequence[str] = ()) -> NewType:
    """A type by its payload's JSON Schema. Raises BadSchema."""
    return NewType(schema=Schema(schema), schema_hash=schema_hash_of(schema), upgrade=tuple(upgrade))


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRelease:
    """The types of the new release. `only` names those that it speaks for: names, or beginnings with a star behind.

    Without `only` it speaks for all types but the service's own, which it speaks for where it names one of them.
    """

    types: Mapping[str, NewType]
    only: tuple[str, ...] = ()

    def looks_at(self, name: str) -> bool:
        """Whether work of this type is to be looked at."""
        if self.only:
            return any(_matches(name, each) for each in self.only)
        return name in self.types or self.checks_built_in or name not in built_in()

    @property
    def checks_built_in(self) -> bool:
        """Whether it brings types that the service has itself: then it is a release of the service, too."""
        return any(name in self.types for name in built_in())

    def is_gone(self, name: str) -> bool:
        """Whether the type of this name should be there, and is not; a remote type is of no release."""
        if name in self.types or not self.looks_at(name):
            return False
        kind = find_type(name)
        return kind is None or not kind.remote


def built_in() -> Collection[str]:
    """The names of the service's own types, as this process knows them."""
    return [name for name, kind in load_types().items() if kind.handler.__module__.partition(".")[0] == "tasks"]


def _matches(name: str, wanted: str) -> bool:
    return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
