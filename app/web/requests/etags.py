"""ETags of tasks and schedules: made from the moment of the last change, so that If-Match can be checked in SQL."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from werkzeug.http import parse_etags

from app.web.requests.parsing import StrictSchema, absent
from taskledger_sdk.payload import fields as strict

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Changing(Protocol):
    """What knows when it was last changed."""

    @property
    def updated_at(self) -> datetime:
        """When."""


def etag(record: Changing) -> str:
    """The tag of a record as it is now, without its quotes."""
    return f"{(record.updated_at - EPOCH) // MICROSECOND:x}"


def etag_header(record: Changing) -> dict[str, str]:
    """The header of an answer that shows a record."""
    return {"ETag": f'"{etag(record)}"'}


class States(strict.Text):
    """If-Match as the moments of last change that it names: None means any, empty means none that we ever gave.

    Our tags are strong, and a proxy that compresses answers makes them weak (`W/`). They name a state and not its
    bytes, so a weak one counts here: else nobody behind such a proxy could change what they have read.
    """

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        tags = parse_etags(super()._deserialize(value, *args, **kwargs))
        if tags.star_tag:
            return None
        return frozenset(moment for tag in tags.as_set(include_weak=True) if (moment := _moment(tag)) is not None)


def _moment(tag: str | None) -> datetime | None:
    if not tag:  # werkzeug reads an empty "" as None
        return None
    try:
        return EPOCH + MICROSECOND * int(tag, 16)
    except (ValueError, OverflowError):
        return None


class IfMatch(StrictSchema):
    """Header of a change: only if the thing is still as the caller read it."""

    class Meta:
        unknown = "exclude"

    states = States(
        data_key="If-Match",
        load_default=absent,
        metadata={"description": "ETag that it must still have; 412 if not"},
    )


class IfNoneMatch(StrictSchema):
    """Header of a read: 304 if the task is still as the caller has it."""

    class Meta:
        unknown = "exclude"

    tag = strict.Text(
        data_key="If-None-Match",
        load_default=absent,
        metadata={"description": "ETag of what you have; 304 if unchanged"},
    )
