"""The methods of durable handlers over a DurableRun: the same in a worker and in a test, plain and as coroutines."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast
from uuid import UUID

from taskledger_sdk.durable.running import RAISE, DurableRun
from taskledger_sdk.durable.values import Child
from taskledger_sdk.errors import PermanentError


@dataclass(frozen=True)
class _Call:
    id: UUID
    step: str
    run: DurableRun = field(repr=False)

    def result(self) -> Any:
        return self.run.result_of(self.step)


@dataclass(frozen=True)
class _AsyncCall:
    id: UUID
    step: str
    run: DurableRun = field(repr=False)

    async def result(self) -> Any:
        return await asyncio.to_thread(self.run.result_of, self.step)


class DurableMethods:
    """What a DurableTask has beyond a TaskContext; the class beside it has check_cancelled()."""

    durable: DurableRun

    def check_cancelled(self) -> None:
        """Raise TaskCancelled if cancelling was asked for."""

    def once(self, name: str, function: Callable[..., Any], /, *args: Any, undo: Any = None, **kwargs: Any) -> Any:
        """Run a function once, and remember what it returned."""
        self.check_cancelled()
        return self.durable.once(name, function, *args, undo=undo, **kwargs)

    def sleep(self, duration: Any, /, *, step: str = "sleep") -> None:
        """Wait for a moment without a worker."""
        self.check_cancelled()
        self.durable.sleep(duration, step)

    def wait_for(self, name: str, /, *, timeout: Any = None, default: Any = RAISE, schema: Any = None) -> Any:
        """Wait for a signal without a worker."""
        self.check_cancelled()
        return self.durable.wait_for(name, timeout, default, schema)

    def call(
        self, type_name: str, payload: Any, /, *, step: str | None = None, undo: Any = None, **options: Any
    ) -> _Call:
        """Submit a child."""
        self.check_cancelled()
        name, child_id = self.durable.call(Child(type_name, payload, options), step, undo)
        return _Call(child_id, name, self.durable)

    def gather(
        self,
        children: Iterable[Any],
        /,
        *,
        step: str = "gather",
        max_parallel: int | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Wait for many children."""
        self.check_cancelled()
        wanted = list(children)
        if wanted and all(isinstance(each, _Call | _AsyncCall) for each in wanted):
            if max_parallel is not None:
                raise PermanentError("task.gather(): calls are under way already; give child(…) with max_parallel")
            return self.durable.results_of([each.step for each in wanted], return_exceptions=return_exceptions)
        if not all(isinstance(each, Child) for each in wanted):
            raise PermanentError("task.gather() takes calls, or child(type, payload) for each, and not both together")
        return self.durable.gather(wanted, step, max_parallel=max_parallel, return_exceptions=return_exceptions)

    def start_over(self, payload: Any, /) -> NoReturn:
        """Forget all steps, and begin anew."""
        self.check_cancelled()
        self.durable.start_over(payload)

    def submit(
        self, type_name: str, payload: Any, /, *, key: str | None = None, now: bool = False, **options: Any
    ) -> UUID:
        """A call whose result nobody asks for: it is stored at once, and once."""
        return self.call(type_name, payload, step=key, **options).id


class AsyncSurface:
    """A DurableTask as a coroutine function is given it: what asks the ledger is done in a thread."""

    def __init__(self, task: DurableMethods) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    async def once(
        self, name: str, function: Callable[..., Any], /, *args: Any, undo: Any = None, **kwargs: Any
    ) -> Any:
        """Run a function once, a coroutine function, too, and remember what it returned."""
        self._task.check_cancelled()
        run = self._task.durable
        asked = await asyncio.to_thread(run.begin_once, name, undo)
        if asked.known is not None and asked.known.is_done:
            return asked.known.result
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
        return await asyncio.to_thread(run.finish_once, asked, result)

    async def sleep(self, duration: Any, /, *, step: str = "sleep") -> None:
        """Wait for a moment without a worker."""
        await asyncio.to_thread(self._task.sleep, duration, step=step)

    async def wait_for(self, name: str, /, *, timeout: Any = None, default: Any = RAISE, schema: Any = None) -> Any:
        """Wait for a signal without a worker."""
        return await asyncio.to_thread(self._task.wait_for, name, timeout=timeout, default=default, schema=schema)

    async def call(
        self, type_name: str, payload: Any, /, *, step: str | None = None, undo: Any = None, **options: Any
    ) -> _AsyncCall:
        """Submit a child."""

        def submit() -> _Call:
            return self._task.call(type_name, payload, step=step, undo=undo, **options)

        made = await asyncio.to_thread(submit)
        return _AsyncCall(made.id, made.step, made.run)

    async def gather(self, children: Iterable[Any], /, **options: Any) -> list[Any]:
        """Wait for many children."""
        wanted = list(children)

        def wait() -> list[Any]:
            return self._task.gather(wanted, **options)

        return cast("list[Any]", await asyncio.to_thread(wait))
