"""Events on their way to the exchange `task.events`: numbered, in slices, each confirmed before the next one."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

import msgspec


class Numbered(msgspec.Struct, frozen=True, gc=False):  # thousands at a time, and none can be part of a circle
    """One event with its publish-order number, as it is published. It holds no payload, no result and no error."""

    position: int
    event_id: int
    task_id: UUID
    type: str
    status: str
    previous_status: str | None
    attempt: int
    worker: str | None
    at: datetime
    owner_id: UUID | None


class Slice(msgspec.Struct, frozen=True):
    """One message: the events numbered from `first_position` to `last_position`, in that order.

    A number without an event is one whose task was deleted.
    """

    first_position: int
    last_position: int
    events: Sequence[Numbered]

    def body(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


class _Named(msgspec.Struct, frozen=True):
    last_position: int


NotASlice = msgspec.DecodeError
MAX_BYTES = 4_000_000  # of a body that is looked at; ours have some 250 bytes for each of at most 1,000 events
_NAMED = msgspec.json.Decoder(_Named)


def newest_named(body: str | bytes) -> int:
    """The last number that a message names: all of it that a sink looks at. Raises NotASlice for anything else.

    Whoever can write to the broker can write any number, so that this is a reason to look, and nothing to believe.
    """
    if len(body) > MAX_BYTES:
        raise NotASlice(f"has {len(body)} bytes, and no message of ours has more than {MAX_BYTES}")
    try:
        return _NAMED.decode(body).last_position
    except RecursionError as error:
        raise NotASlice("is nested too deeply") from error


def slices(first: int, last: int, events: Sequence[Numbered], *, size: int) -> Iterator[Slice]:
    """Cut the numbers from `first` to `last` into messages of at most `size`."""
    for start in range(first, last + 1, size):
        end = min(start + size - 1, last)
        held = [event for event in events if start <= event.position <= end]
        yield Slice(first_position=start, last_position=end, events=held)
