"""DurableTask and AsyncDurableTask: what durable handlers are given; all that an author may rely on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol, TypeVar, Unpack
from uuid import UUID

from taskledger_sdk.context import SubmitOptions, TaskContext
from taskledger_sdk.durable.running import RAISE
from taskledger_sdk.durable.values import Child

T = TypeVar("T")


class Call(Protocol):
    """A child that a durable handler has submitted."""

    @property
    def id(self) -> UUID:
        """The task's id."""

    @property
    def step(self) -> str:
        """The name of the step that it is."""

    def result(self) -> Any:
        """What it returned; the handler is suspended until it has ended. Raises ChildFailed if it did not complete."""


class AsyncCall(Protocol):
    """The same for a coroutine."""

    @property
    def id(self) -> UUID:
        """The task's id."""

    @property
    def step(self) -> str:
        """The name of the step that it is."""

    async def result(self) -> Any:
        """What it returned; the handler is suspended until it has ended. Raises ChildFailed if it did not complete."""


class DurableTask(TaskContext, Protocol):
    """A TaskContext whose handler may wait without a worker: for a moment, a signal, children.

    The handler is run again from its top after each wait; what it asked for before is answered from memory, so it
    comes to the same place. Names of steps identify them; a name that is asked for again in one run is name#2, …. What
    lies between two steps is run each time: what has an effect, and what is different each time (the clock, random
    numbers), belongs into once(). submit() is a call whose result nobody asks for.

    A suspension is a BaseException that ends the run: let it pass. Raises LeaseLost where another worker has the task.
    """

    def once(
        self, name: str, function: Callable[..., T], /, *args: Any, undo: tuple[str, Any] | None = None, **kwargs: Any
    ) -> T:
        """Run a function once, and remember what it returned, as JSON of at most 256 KB.

        It is recorded before this returns. If the worker is lost right in between, the function is run again: give
        outside effects a key, such as f"{task.id} charge". What the function raises is not remembered.
        `undo`: the task type and payload that take it back, if this task fails or is cancelled: recorded before the
        function begins, so it must be harmless where nothing was done. {"$from": "result.id"} in the payload is a part
        of what the function returned, null where that is not known.
        """

    def sleep(self, duration: timedelta | float | datetime, /, *, step: str = "sleep") -> None:
        """Wait so long (a number is seconds), or until a moment, without a worker."""

    def wait_for(
        self,
        name: str,
        /,
        *,
        timeout: timedelta | float | None = None,
        default: Any = RAISE,
        schema: Mapping[str, Any] | None = None,
    ) -> Any:
        """Wait for a signal of this name, and return its data; one that came before is there at once.

        Each signal is taken once, in the order of arrival. After `timeout` the `default` is returned, or WaitTimedOut
        raised where there is none; without a timeout it waits without end. `schema` is a JSON Schema of the data: while
        the task waits, what does not fit is refused, and the dashboard makes a form of it. One that came before was
        not held against it.
        """

    def call(
        self,
        type_name: str,
        payload: Any,
        /,
        *,
        step: str | None = None,
        undo: tuple[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Call:
        """Submit a child for the same account, and go on; ask for its result() when it is needed.

        The step is called after the task type, or `step`. The child is cancelled with this task. `undo` as in once().
        Raises PermanentError for what POST /tasks would refuse; NoRoom when a quota is reached.
        """

    def gather(
        self,
        children: Iterable[Child | Call],
        /,
        *,
        step: str = "gather",
        max_parallel: int | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Wait for many children at once; what they returned, in their order.

        They are calls, or child(type, payload) for each of up to 10,000 that are to be submitted, of which at most
        `max_parallel` are under way at once. When all have ended, ChildFailed is raised for the first that did not
        complete; with `return_exceptions` it stands in its place instead.
        """

    def start_over(self, payload: Any, /) -> NoReturn:
        """Forget all steps and begin anew with this payload: for handlers that go on without end.

        No child may be under way, and what could be undone so far cannot be any more.
        """


class AsyncDurableTask(TaskContext, Protocol):
    """A DurableTask whose handler is a coroutine function: the same, to be awaited."""

    async def once(
        self,
        name: str,
        function: Callable[..., Awaitable[T] | T],
        /,
        *args: Any,
        undo: tuple[str, Any] | None = None,
        **kwargs: Any,
    ) -> T:
        """As DurableTask.once(); the function may be a coroutine function."""

    async def sleep(self, duration: timedelta | float | datetime, /, *, step: str = "sleep") -> None:
        """As DurableTask.sleep()."""

    async def wait_for(
        self,
        name: str,
        /,
        *,
        timeout: timedelta | float | None = None,
        default: Any = RAISE,
        schema: Mapping[str, Any] | None = None,
    ) -> Any:
        """As DurableTask.wait_for()."""

    async def call(
        self,
        type_name: str,
        payload: Any,
        /,
        *,
        step: str | None = None,
        undo: tuple[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncCall:
        """As DurableTask.call()."""

    async def gather(
        self,
        children: Iterable[Child | AsyncCall],
        /,
        *,
        step: str = "gather",
        max_parallel: int | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """As DurableTask.gather()."""

    def start_over(self, payload: Any, /) -> NoReturn:
        """As DurableTask.start_over()."""
