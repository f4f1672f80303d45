"""A page of a list."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some items of a list, and the key of the last of them: give it as `before` (or `after`) for the next page.

    `next` is None when nothing follows.
    """

    items: list[T]
    next: Any


def _id(record: Any) -> Any:
    return record.id


def page_of(records: Sequence[T], limit: int, key: Callable[[T], Any] = _id) -> Page[T]:
    """The first `limit` of the records; the caller has read one more, which shows whether anything follows."""
    items = list(records[:limit])
    return Page(items, key(items[-1]) if len(records) > limit else None)
