"""The newest pages of the ledger's events, read once for all who follow them in one process."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from sqlalchemy.orm import Session

from app.services.events.log import Page, read_after

PAGES_KEPT = 8  # of up to 1,000 events, some 300 kilobytes each


class Window:
    """For several readers, each in a thread of its own, that go on from numbers near to each other.

    What is kept was read from the ledger, where an event never changes; who begins anew forgets it all the same.
    """

    def __init__(self, *, most: int = PAGES_KEPT) -> None:
        self._pages: deque[Page] = deque(maxlen=most)
        self._lock = threading.Lock()

    def read_after(self, transaction: Callable[[], AbstractContextManager[Session]], after: int, *, limit: int) -> Page:
        """As events.read_after; begins a transaction only when nobody has read these events a moment ago."""
        with self._lock:  # held while one reads: the others want the same page
            kept = self._kept(after)
            if kept is not None:
                return kept
            with transaction() as session:
                page = read_after(session, after, limit=limit)
            if page.until > page.after:
                self._pages.append(page)
            return page

    def forget(self) -> None:
        """Read everything anew."""
        with self._lock:
            self._pages.clear()

    def _kept(self, after: int) -> Page | None:
        for page in self._pages:
            if page.after == after:
                return page
            if page.after < after < page.until and not page.missing:
                rest = [event for event in page.events if event.position > after]
                return replace(page, after=after, events=rest)
        return None
