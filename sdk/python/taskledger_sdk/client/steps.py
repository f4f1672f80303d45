"""What a method asks of the service, as generators: of calls and pauses, with answers sent in. They know no sockets.

`Client` carries them out in its caller's thread, `AsyncClient` in its event loop, so that both do the same.
"""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from taskledger_sdk.http.calls import Answer, Call
from taskledger_sdk.http.errors import RequestFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds in which nothing is asked."""

    seconds: float


Steps: TypeAlias = Generator[Call | Pause, Any, T]


def carry_out(steps: Generator[Any, Any, T], answer: Callable[[Call], Answer], sleep: Callable[[float], Any]) -> T:
    """What the steps return. A call that fails is raised where they asked for it."""
    try:
        asked = next(steps)
        while True:
            try:
                said = sleep(asked.seconds) if isinstance(asked, Pause) else answer(asked)
            except RequestFailed as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(said)
    except StopIteration as end:
        result: T = end.value
        return result


async def carry_out_async(
    steps: Generator[Any, Any, T],
    answer: Callable[[Call], Awaitable[Answer]],
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """As `carry_out`, in an event loop."""
    try:
        asked = next(steps)
        while True:
            try:
                said = await (sleep(asked.seconds) if isinstance(asked, Pause) else answer(asked))
            except RequestFailed as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(said)
    except StopIteration as end:
        result: T = end.value
        return result
