"""How results are read from JSON. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, Self, get_type_hints
from uuid import UUID

LONGEST_SHOWN = 60


class Read:
    """Base of the results: made from an object of the API, which it keeps whole as `raw`."""

    __slots__ = ()

    @classmethod
    def of(cls, data: Mapping[str, Any], **more: Any) -> Self:
        """From what the API says; what it does not say is None, what is not known here is in `raw` only."""
        plain, read = _readers(cls)  # type: ignore[arg-type]  # a class is hashable
        say = data.get
        values: dict[str, Any] = {name: say(name) for name in plain}
        for name, reader in read:
            values[name] = reader(say(name))
        values["raw"] = data
        return cls(**values, **more)


def moment(text: Any) -> datetime | None:
    """An aware datetime; None for null."""
    return None if text is None else datetime.fromisoformat(text)


def identifier(text: Any) -> UUID | None:
    """A UUID; None for null."""
    return None if text is None else UUID(text)


def several(cls: type[Read]) -> Callable[[Any], tuple[Read, ...]]:
    """A reader of lists."""
    return lambda items: tuple(cls.of(each) for each in items or ())


def nested(cls: type[Read]) -> Callable[[Any], Read | None]:
    """A reader of an object that may be null."""
    return lambda data: None if data is None else cls.of(data)


def shown(value: Any) -> str:
    """For a repr: not longer than a person reads at a glance."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


@cache
def _readers(cls: Any) -> tuple[tuple[str, ...], tuple[tuple[str, Callable[[Any], Any]], ...]]:
    """The fields that are taken as the API says them, and the others with how each is read: by metadata, or type."""
    hints = get_type_hints(cls)
    by_type: dict[Any, Callable[[Any], Any]] = {
        UUID: identifier,
        UUID | None: identifier,
        datetime: moment,
        datetime | None: moment,
    }
    said = [each for each in fields(cls) if each.name != "raw" and not each.metadata.get("local")]
    readers = {each.name: each.metadata.get("read") or by_type.get(hints[each.name]) for each in said}
    return (
        tuple(name for name, reader in readers.items() if reader is None),
        tuple((name, reader) for name, reader in readers.items() if reader is not None),
    )
