"""How many more messages a channel may be given: its prefetch count, less what it holds. For the loop's thread only."""

import asyncio


class Credit:
    """Shared by all pullers of a channel."""

    def __init__(self) -> None:
        self._limit = 0
        self._taken = 0
        self._changed = asyncio.Event()
        self._lessened = asyncio.Event()

    def set_limit(self, limit: int) -> None:
        """0 is no limit."""
        self._limit = limit
        self._changed.set()

    def free(self, most: int) -> int:
        """How many may be asked for now, `most` at the most."""
        return most if not self._limit else max(0, min(self._limit - self._taken, most))

    def take(self, count: int) -> None:
        """They are asked for, or held."""
        self._taken += count
        self._lessened.set()

    def give(self, count: int = 1) -> None:
        """They did not come, or were settled."""
        self._taken -= count
        self._changed.set()

    async def wait(self) -> None:
        """Until at least one may be asked for."""
        while not self.free(1):
            self._changed.clear()
            await self._changed.wait()

    async def spent(self, lasting_seconds: float) -> None:
        """Until nothing could be asked for during all of so many seconds."""
        while True:
            while self.free(1):
                self._lessened.clear()
                await self._lessened.wait()
            self._changed.clear()
            try:
                async with asyncio.timeout(lasting_seconds):
                    await self._changed.wait()
            except TimeoutError:
                return
