"""Schedules of both clients."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeAlias, Unpack
from uuid import UUID

from taskledger_sdk.client.operations import Listing, creating, id_of
from taskledger_sdk.client.options import ScheduleOptions, as_json
from taskledger_sdk.client.results import Schedule
from taskledger_sdk.client.sessions import AsyncSession, Session
from taskledger_sdk.client.steps import Steps
from taskledger_sdk.client.submissions import JSON
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.calls import LARGEST_PAGE, Call

ScheduleId: TypeAlias = UUID | str | Schedule
_ALL = Listing("/schedules", {"limit": LARGEST_PAGE}, Schedule.of)


def _create(said: Mapping[str, Any]) -> Steps[Schedule]:
    answer = yield creating("/schedules", said)
    return Schedule.of(answer.data)


def _get(schedule: ScheduleId) -> Steps[Schedule]:
    answer = yield Call(method="GET", path=path_of("schedules", id_of(schedule)))
    return Schedule.of(answer.data)


def _change(schedule: ScheduleId, said: Mapping[str, Any]) -> Steps[Schedule]:
    path = path_of("schedules", id_of(schedule))
    answer = yield Call(method="PATCH", path=path, content=as_json(said), headers=JSON)
    return Schedule.of(answer.data)


def _put(name: str, said: Mapping[str, Any]) -> Steps[Schedule]:
    answer = yield Call(method="PUT", path=path_of("schedules", name), content=as_json(said), headers=JSON)
    return Schedule.of(answer.data)


def _delete(schedule: ScheduleId) -> Steps[None]:
    yield Call(method="DELETE", path=path_of("schedules", id_of(schedule)))


class Schedules:
    """`client.schedules`: rules that submit tasks or start runs, once or by cron."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, name: str | None = None, **said: Unpack[ScheduleOptions]) -> Schedule:
        """Make one. Raises RequestFailed."""
        return self._session.run(_create({"name": name, **said}))

    def put(self, name: str, **said: Unpack[ScheduleOptions]) -> Schedule:
        """Make your schedule of this name, or replace it as a whole; the same again changes nothing.

        Without `enabled`, one that a person has paused stays paused.
        """
        return self._session.run(_put(name, said))

    def get(self, schedule: ScheduleId) -> Schedule:
        """Read one. Raises NotFound."""
        return self._session.run(_get(schedule))

    def list(self) -> Iterator[Schedule]:
        """All, newest first, read page by page."""
        return self._session.items(_ALL)

    def change(self, schedule: ScheduleId, **said: Unpack[ScheduleOptions]) -> Schedule:
        """Change what is given; the rest stays."""
        return self._session.run(_change(schedule, said))

    def delete(self, schedule: ScheduleId) -> None:
        """Delete one; what it has submitted stays."""
        self._session.run(_delete(schedule))


class AsyncSchedules:
    """`client.schedules` of an AsyncClient."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def create(self, name: str | None = None, **said: Unpack[ScheduleOptions]) -> Schedule:
        """Make one. Raises RequestFailed."""
        return await self._session.run(_create({"name": name, **said}))

    async def put(self, name: str, **said: Unpack[ScheduleOptions]) -> Schedule:
        """Make your schedule of this name, or replace it as a whole; see Schedules.put."""
        return await self._session.run(_put(name, said))

    async def get(self, schedule: ScheduleId) -> Schedule:
        """Read one. Raises NotFound."""
        return await self._session.run(_get(schedule))

    def list(self) -> AsyncIterator[Schedule]:
        """All, newest first, read page by page."""
        return self._session.items(_ALL)

    async def change(self, schedule: ScheduleId, **said: Unpack[ScheduleOptions]) -> Schedule:
        """Change what is given; the rest stays."""
        return await self._session.run(_change(schedule, said))

    async def delete(self, schedule: ScheduleId) -> None:
        """Delete one; what it has submitted stays."""
        await self._session.run(_delete(schedule))
