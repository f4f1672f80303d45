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


NotASlice = msgspec.DecodeError
_DECODER = msgspec.json.Decoder(Slice)


def slice_in(body: str | bytes) -> Slice:
    """The message in a body; fields it does not know are passed over. Raises NotASlice for anything else."""
    return _DECODER.decode(body)


def slices(first: int, last: int, events: Sequence[Numbered], *, size: int) -> Iterator[Slice]:
    """Cut the numbers from `first` to `last` into messages of at most `size`."""
    for start in range(first, last + 1, size):
        end = min(start + size - 1, last)
        held = [event for event in events if start <= event.position <= end]
        yield Slice(first_position=start, last_position=end, events=held)
