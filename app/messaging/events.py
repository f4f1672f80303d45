"""Events on their way to the exchange `task.events`: numbered, in slices, each confirmed before the next one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Event(Protocol):
    """What is announced."""

    @property
    def position(self) -> int: ...

    def as_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """One message: the events numbered from `first_position` to `last_position`, in that order.

    A number without an event is one whose task was deleted.
    """

    first_position: int
    last_position: int
    events: Sequence[Mapping[str, Any]]

    def body(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "first_position": self.first_position,
            "last_position": self.last_position,
            "events": list(self.events),
        }


def slices(first: int, last: int, events: Sequence[Event], *, size: int) -> Iterator[Slice]:
    """Cut the numbers from `first` to `last` into messages of at most `size`."""
    for start in range(first, last + 1, size):
        end = min(start + size - 1, last)
        held = [event.as_json() for event in events if start <= event.position <= end]
        yield Slice(first_position=start, last_position=end, events=held)
