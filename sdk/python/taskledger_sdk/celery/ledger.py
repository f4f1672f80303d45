"""The ledger of an adopted application: its settings and its client, found when they are first needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from uuid import UUID

from celery import Celery
from celery.utils.functional import LRUCache

from taskledger_sdk.celery import settings
from taskledger_sdk.celery.errors import LedgerAway
from taskledger_sdk.celery.settings import Settings
from taskledger_sdk.client import Client, NotFound, Run, Task, Unavailable, Unreachable, operations
from taskledger_sdk.client.lanes import Lanes
from taskledger_sdk.client.options import as_json
from taskledger_sdk.client.submissions import JSON, prepared
from taskledger_sdk.http.calls import Answer, Call

log = logging.getLogger("taskledger_sdk.celery")
ATTRIBUTE = "_taskledger"
ID_LABEL = "celery_id"
"""Holds the id that a caller chose, where the ledger does not take it for a task's."""
MAX_REMEMBERED = 10_000
MAX_PAGES = 5
"""Of tasks that are looked at for a label: a page is at most 20,000 of the newest."""


class LedgerClient(Client):
    """A client that is not told again what it has submitted: a caller of .delay() wants the id, which it has."""

    def send(self, type_: str, payload: Any, options: Mapping[str, Any], id_: UUID) -> None:
        """Submit a task under this id; many threads at once share requests. Raises RequestFailed."""
        self._lanes.submit(prepared(type_, payload, options, id_), _nothing)

    def answer(self, call: Call) -> Answer:
        """What the service answers to one request. Raises RequestFailed."""
        return self._session.transport.answer(call)

    def _new_lanes(self) -> Lanes:
        return Lanes(self._session.run, minimal=True)


def _nothing(_: Answer) -> None:
    """What is made of an answer that says what is known."""


class Ledger:
    """What the hooks of one application share. Its settings are read when the first call is made, as Celery's are."""

    def __init__(self, app: Celery, given: Mapping[str, Any]) -> None:
        self.app = app
        self._given = given
        self._said: set[str] = set()
        self.sender: Any = None
        """What stands in place of `send_task`; it needs this first."""
        self._lock = threading.Lock()
        self._known: LRUCache[str, UUID] = LRUCache(limit=MAX_REMEMBERED)
        self._forgone: LRUCache[str, bool] = LRUCache(limit=MAX_REMEMBERED)

    @cached_property
    def settings(self) -> Settings:
        """Of this application."""
        return settings.read(self._given, self.app.conf)

    @property
    def is_on(self) -> bool:
        """Whether its calls go to the ledger."""
        return self.settings.enabled and not self.app.conf.task_always_eager

    @property
    def client(self) -> LedgerClient:
        """One for all threads of the process, and renewed in those that it forks."""
        with self._lock:
            return self._client

    @cached_property
    def _client(self) -> LedgerClient:
        found = self.settings
        return LedgerClient(
            found.url,
            found.api_key,
            profile=found.profile,
            ca_file=found.ca_file,
            allow_http=found.allow_http,
            retry_seconds=found.retry_seconds,
        )

    def warn_once(self, what: str, text: str) -> None:
        """Say something of the application once in this process."""
        with self._lock:
            if what in self._said:
                return
            self._said.add(what)
        log.warning(text)

    def start_run(self, run: UUID, body: Mapping[str, Any]) -> None:
        """Start a run of a definition of its own. Raises RequestFailed, or LedgerAway."""
        content = as_json({**body, "id": str(run)})
        with reached():
            self.client.answer(Call(method="POST", path="/runs", content=content, headers=JSON, is_harmless=True))

    def find(self, id_: str) -> Task | None:
        """The newest task that has this label, where its id is none of the ledger's; None: there is none."""
        known = self._known.get(id_)
        if known is not None:
            return self.get(known)
        listing = operations.tasks({}, {ID_LABEL: id_})
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            with reached():
                page = self.client.answer(listing.page(cursor)).data
            if page["items"]:
                return self.get(page["items"][0]["id"])
            cursor = page.get("next")
            if cursor is None:
                break
        return None

    def remember(self, celery_id: str, id_: UUID) -> None:
        """Which task has an id that is none of the ledger's, so that this process finds it without a search."""
        self._known[celery_id] = id_

    def forgo(self, celery_id: str) -> None:
        """Remember that a call had expired before it was made: the ledger knows nothing of it, and its caller asks."""
        self._forgone[celery_id] = True

    def was_forgone(self, celery_id: str) -> bool:
        """Whether this process has made such a call under this id."""
        return celery_id in self._forgone

    def get(self, id_: UUID | str) -> Task | None:
        """A task; None: there is none, or it is somebody else's."""
        with reached():
            try:
                return self.client.get(id_)
            except NotFound:
                return None

    def get_run(self, id_: UUID) -> Run | None:
        """A run; None: there is none."""
        with reached():
            try:
                return self.client.get_run(id_)
            except NotFound:
                return None


@contextmanager
def reached() -> Iterator[None]:
    """Says that the ledger is away as Celery says it of its broker."""
    try:
        yield
    except (Unreachable, Unavailable) as error:
        raise LedgerAway(str(error)) from error


def ledger_of(app: Any) -> Ledger | None:
    """The ledger of an application that was adopted; None for any other."""
    found: Ledger | None = getattr(app, ATTRIBUTE, None)
    return found
