"""The connections of a client, and how what its methods ask is carried out over them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

from taskledger_sdk.client.operations import Listing
from taskledger_sdk.client.steps import carry_out, carry_out_async
from taskledger_sdk.connection import Connection
from taskledger_sdk.http.async_transport import AsyncTransport
from taskledger_sdk.http.retrying import Patience
from taskledger_sdk.http.transport import Transport

T = TypeVar("T")
AnyTransport = TypeVar("AnyTransport")


class _Connections(Generic[AnyTransport]):
    """Connections of one process, opened by `opens` when they are needed."""

    def __init__(self, connection: Connection, patience: Patience, opens: Callable[..., AnyTransport]) -> None:
        self.connection = connection
        self._patience = patience
        self._opens = opens
        self._opened: AnyTransport | None = None
        self._opened = self.transport  # at once, so that a certificate that cannot be read is said to whoever gave it

    @property
    def transport(self) -> AnyTransport:
        """Connections of this process."""
        if self._opened is None:
            self._opened = self._opens(self.connection, patience=self._patience)
        return self._opened

    def forget(self) -> None:
        """Leave the connections to the parent process; others are opened when they are needed."""
        self._opened = None


class Session(_Connections[Transport]):
    """For a `Client`: its threads share one."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        super().__init__(connection, patience, Transport)

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


class AsyncSession(_Connections[AsyncTransport]):
    """For an `AsyncClient`: the coroutines of its loop share one."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        super().__init__(connection, patience, AsyncTransport)

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
