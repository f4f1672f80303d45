"""Lifespans: what the handlers of a package share in a process, such as an HTTP client or a pool of connections."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

from taskledger_sdk import packages
from taskledger_sdk.errors import BadDeclaration, TaskError

T = TypeVar("T")
_ABSENT: Any = object()


class NotStarted(TaskError):
    """The value of a lifespan was asked for where none has been started."""


class Lifespan(Generic[T]):
    """Something that is opened once in each process that runs handlers, and closed when the process ends.

    Made by `lifespan`; handlers read `value`.
    """

    def __init__(self, function: Callable[[], AsyncIterator[T] | Iterator[T]]) -> None:
        self.place = f"{function.__module__}.{function.__qualname__}"
        self.is_async = inspect.isasyncgenfunction(function)
        self._function: Any = function
        self._value: T = _ABSENT
        self.__doc__ = function.__doc__
        if not (self.is_async or inspect.isgeneratorfunction(function)) or inspect.signature(function).parameters:
            raise BadDeclaration(
                f"{self.place} is no lifespan; write def or async def {function.__name__}() without parameters, with "
                "one yield: what stands before it opens, what it yields is the value, what stands behind it closes"
            )

    @property
    def value(self) -> T:
        """What was yielded, in this process. Raises NotStarted outside of an attempt."""
        if self._value is _ABSENT:
            raise NotStarted(
                f"{self.place} is not started: a worker starts it before the first attempt of a task type of its "
                f"package; in a test write `with {self.place.rpartition('.')[2]}.using(...):`"
            )
        return self._value

    @contextmanager
    def using(self, value: T) -> Iterator[T]:
        """For tests: within the block, `value` is this one, and nothing is opened or closed."""
        before, self._value = self._value, value
        try:
            yield value
        finally:
            self._value = before

    def serves(self, module: str) -> bool:
        """Whether it is started for handlers of this module: those of its package; of all, if it is in a library."""
        package = packages.package_of(self._function.__module__)
        return package is None or package == packages.package_of(module)

    def opened(self) -> AbstractContextManager[T]:
        """Opens and closes it, if it is a plain generator; the value is there in between."""
        return self._keeping(contextmanager(self._function))

    def opened_async(self) -> AbstractAsyncContextManager[T]:
        """The same for an async one."""
        return self._keeping_async(asynccontextmanager(self._function))

    @contextmanager
    def _keeping(self, open_: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        with open_() as value, self.using(value):
            yield value

    @asynccontextmanager
    async def _keeping_async(self, open_: Callable[[], AbstractAsyncContextManager[T]]) -> AsyncIterator[T]:
        async with open_() as value:
            with self.using(value):
                yield value


_declared: dict[str, Lifespan[Any]] = {}
_declaring = threading.Lock()


def lifespan(function: Callable[[], AsyncIterator[T]] | Callable[[], Iterator[T]]) -> Lifespan[T]:
    """Declare a generator function, plain or async, whose one `yield` hands out what handlers share.

    Each process that runs handlers starts it before its first attempt of a task type of the same package, and closes
    it when it ends in good order. An attempt whose lifespan cannot be started fails and is tried again as its type's
    retry policy says; so is the start. Raises BadDeclaration for anything but such a function.
    """
    made = Lifespan(function)
    with _declaring:
        _declared[made.place] = made
    return made


def declared() -> tuple[Lifespan[Any], ...]:
    """All lifespans, in the order in which they were declared."""
    return tuple(_declared.values())
