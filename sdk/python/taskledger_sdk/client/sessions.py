"""The connections of a client, and how what its methods ask is carried out over them."""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, TypeVar

from taskledger_sdk.client.operations import Listing
from taskledger_sdk.client.steps import carry_out, carry_out_async
from taskledger_sdk.connection import Connection
from taskledger_sdk.http.async_transport import AsyncTransport
from taskledger_sdk.http.retrying import Patience
from taskledger_sdk.http.transport import Transport

T = TypeVar("T")


class Session:
    """For a `Client`: its threads share one."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self.connection = connection
        self._patience = patience
        self._opened: Transport | None = self._open()

    @property
    def transport(self) -> Transport:
        """Connections of this process."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def forget(self) -> None:
        """Leave the connections to the parent process; others are opened when they are needed."""
        self._opened = None

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._opened is not None:
            self._opened.close()

    def run(self, steps: Generator[Any, Any, T]) -> T:
        """What the steps return. Raises RequestFailed."""
        return carry_out(steps, self.transport.answer, time.sleep)

    def items(self, listing: Listing[T]) -> Iterator[T]:
        """All items of a list, read page by page. Raises RequestFailed."""
        cursor = None
        while True:
            page = self.transport.answer(listing.page(cursor)).data
            yield from (listing.read(each) for each in page["items"])
            cursor = page.get("next")
            if cursor is None:
                return

    def _open(self) -> Transport:
        return Transport(self.connection, patience=self._patience)


class AsyncSession:
    """For an `AsyncClient`: the coroutines of its loop share one."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self.connection = connection
        self._patience = patience
        self._opened: AsyncTransport | None = self._open()

    @property
    def transport(self) -> AsyncTransport:
        """Connections of this process."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def forget(self) -> None:
        """Leave the connections to the parent process; others are opened when they are needed."""
        self._opened = None

    async def close(self) -> None:
        """Close the connections, if there are any."""
        if self._opened is not None:
            await self._opened.close()

    async def run(self, steps: Generator[Any, Any, T]) -> T:
        """What the steps return. Raises RequestFailed."""
        return await carry_out_async(steps, self.transport.answer, asyncio.sleep)

    async def items(self, listing: Listing[T]) -> AsyncIterator[T]:
        """All items of a list, read page by page. Raises RequestFailed."""
        cursor = None
        while True:
            page = (await self.transport.answer(listing.page(cursor))).data
            for each in page["items"]:
                yield listing.read(each)
            cursor = page.get("next")
            if cursor is None:
                return

    def _open(self) -> AsyncTransport:
        return AsyncTransport(self.connection, patience=self._patience)
