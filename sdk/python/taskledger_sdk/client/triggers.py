"""Triggers of both clients, and the events that they listen for."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeAlias, Unpack
from uuid import UUID

from taskledger_sdk.client.operations import Listing, creating, id_of
from taskledger_sdk.client.options import TriggerOptions, as_json
from taskledger_sdk.client.results import Match, OutsideEvent, Trigger
from taskledger_sdk.client.sessions import AsyncSession, Session
from taskledger_sdk.client.steps import Steps
from taskledger_sdk.client.submissions import JSON
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.calls import LARGEST_PAGE, Call

TriggerId: TypeAlias = UUID | str | Trigger
EventId: TypeAlias = UUID | str | OutsideEvent


def send_event(name: str, data: Any, ordering_key: str | None, key: str | None) -> Steps[OutsideEvent]:
    """An event that was accepted, once however often this is sent."""
    said = {"name": name, "data": data} | ({} if ordering_key is None else {"ordering_key": ordering_key})
    answer = yield creating("/events", said, key)
    return OutsideEvent.of(answer.data)


def get_event(event: EventId) -> Steps[OutsideEvent]:
    """An event with what became of it."""
    answer = yield Call(method="GET", path=path_of("events", id_of(event)))
    return OutsideEvent.of(answer.data)


def _create(said: Mapping[str, Any]) -> Steps[Trigger]:
    answer = yield creating("/triggers", said)
    return Trigger.of(answer.data)


def _get(trigger: TriggerId) -> Steps[Trigger]:
    answer = yield Call(method="GET", path=path_of("triggers", id_of(trigger)))
    return Trigger.of(answer.data)


def _change(trigger: TriggerId, said: Mapping[str, Any]) -> Steps[Trigger]:
    path = path_of("triggers", id_of(trigger))
    answer = yield Call(method="PATCH", path=path, content=as_json(said), headers=JSON)
    return Trigger.of(answer.data)


def _delete(trigger: TriggerId) -> Steps[None]:
    yield Call(method="DELETE", path=path_of("triggers", id_of(trigger)))


def _all(event: str | None) -> Listing[Trigger]:
    query = {"limit": LARGEST_PAGE} | ({} if event is None else {"event": event})
    return Listing("/triggers", query, Trigger.of)


def _matches(trigger: TriggerId) -> Listing[Match]:
    return Listing(path_of("triggers", id_of(trigger), "matches"), {"limit": LARGEST_PAGE}, Match.of)


class Triggers:
    """`client.triggers`: rules that submit tasks or start runs when something happened elsewhere."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, event: str, **said: Unpack[TriggerOptions]) -> Trigger:
        """Create one; events that came before do not concern it. Raises Invalid with `errors` by path."""
        return self._session.run(_create({"event": event, **said}))

    def get(self, trigger: TriggerId) -> Trigger:
        """Read one. Raises NotFound."""
        return self._session.run(_get(trigger))

    def list(self, event: str | None = None) -> Iterator[Trigger]:
        """All, or those of one event, newest first, read page by page."""
        return self._session.items(_all(event))

    def matches(self, trigger: TriggerId) -> Iterator[Match]:
        """What a trigger has matched and started, newest first, read page by page."""
        return self._session.items(_matches(trigger))

    def change(self, trigger: TriggerId, *, event: str | None = None, **said: Unpack[TriggerOptions]) -> Trigger:
        """Change what is given; the rest stays."""
        return self._session.run(_change(trigger, {**said, **({} if event is None else {"event": event})}))

    def delete(self, trigger: TriggerId) -> None:
        """Delete one; what it has started stays."""
        self._session.run(_delete(trigger))


class AsyncTriggers:
    """`client.triggers` of an AsyncClient."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def create(self, event: str, **said: Unpack[TriggerOptions]) -> Trigger:
        """Create one; events that came before do not concern it. Raises Invalid with `errors` by path."""
        return await self._session.run(_create({"event": event, **said}))

    async def get(self, trigger: TriggerId) -> Trigger:
        """Read one. Raises NotFound."""
        return await self._session.run(_get(trigger))

    def list(self, event: str | None = None) -> AsyncIterator[Trigger]:
        """All, or those of one event, newest first, read page by page."""
        return self._session.items(_all(event))

    def matches(self, trigger: TriggerId) -> AsyncIterator[Match]:
        """What a trigger has matched and started, newest first, read page by page."""
        return self._session.items(_matches(trigger))

    async def change(self, trigger: TriggerId, *, event: str | None = None, **said: Unpack[TriggerOptions]) -> Trigger:
        """Change what is given; the rest stays."""
        return await self._session.run(_change(trigger, {**said, **({} if event is None else {"event": event})}))

    async def delete(self, trigger: TriggerId) -> None:
        """Delete one; what it has started stays."""
        await self._session.run(_delete(trigger))
