"""Submissions as they are sent: alone, or as lines of a batch. Pure, but for the random part of new ids."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from taskledger_sdk.client.options import TaskOptions, as_json
from taskledger_sdk.http.calls import ANSWER_SECONDS, Call
from taskledger_sdk.random_bits import random_bits
from taskledger_sdk.typed_payloads import UNSET, TypedPayload

MOST_ITEMS, MOST_BYTES = 200, 256 * 1024
"""Of a group that is sent together."""
LARGEST_SHARED = 64 * 1024
"""Bytes; what is larger is sent alone."""
NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Submission:
    """A task to be, for submit_many(): `Submission("send_email", {...}, {"priority": "high"})`.

    With a class of `tledger types`: `Submission.of(SendEmail(...), {"priority": "high"})`.
    """

    type: str
    payload: Any
    options: TaskOptions = field(default_factory=lambda: TaskOptions())
    id: UUID | None = None

    @classmethod
    def of(cls, payload: TypedPayload, options: TaskOptions | None = None, id: UUID | None = None) -> Self:  # noqa: A002
        """Of a payload that knows its type."""
        return cls(payload.TASK_TYPE, payload, options or TaskOptions(), id)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission in JSON, with the id that makes it the same one however often it is sent, alone or in a batch."""

    body: bytes

    def alone(self, since: float) -> Call:
        """The request that submits it."""
        return Call(method="POST", path="/tasks", content=self.body, headers=JSON, is_harmless=True, since=since)


def prepared(type_: str | TypedPayload, payload: Any, options: Mapping[str, Any], id_: UUID | None) -> Prepared:
    """A submission as it can be sent; a payload that knows its type stands alone, and UNSET for the other.

    Raises Unsendable, and TypeError for one of them without the other.
    """
    if isinstance(type_, TypedPayload):
        if payload is not UNSET:
            raise TypeError(f"{type(type_).__name__} is a payload and knows its type: give no second one")
        type_, payload = type_.TASK_TYPE, type_
    elif payload is UNSET:
        raise TypeError("submit() takes a type and a payload, or one payload of a class that `tledger types` writes")
    said = {name: value for name, value in options.items() if value is not None}
    return Prepared(as_json({"type": type_, "payload": payload, **said, "id": str(id_ or new_id())}))


def batch(prepared: Sequence[Prepared], *, since: float | None = None, minimal: bool = False) -> Call:
    """The request that submits them together; repeating it is harmless, as each has its id."""
    headers = NDJSON | {"Prefer": "return=minimal"} if minimal else NDJSON
    return Call(
        method="POST",
        path="/tasks/batch",
        content=b"\n".join(each.body for each in prepared),
        headers=headers,
        seconds=ANSWER_SECONDS,
        is_harmless=True,
        since=since,
    )


def parts_of(items: Iterable[Prepared], *, most_items: int, most_bytes: int = MOST_BYTES) -> Iterator[list[Prepared]]:
    """The items in batches of a size that the service takes, one after the other as they come."""
    part: list[Prepared] = []
    size = 0
    for item in items:
        if part and (len(part) == most_items or size + len(item.body) > most_bytes):
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item.body)
    if part:
        yield part


def new_id() -> UUID:
    """A UUID of version 7: its first 48 bits are the milliseconds of now, the rest is random."""
    number = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | random_bits()
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)
