"""A broker that does what a test says."""

from collections.abc import Iterable, Sequence

from amqp.exceptions import PreconditionFailed

from app.messaging import Hint, Slice
from tests.support.one_by_one import published_one_by_one


class ScriptedPublisher:
    """Keeps what is published; refuses everything while `is_down`, and hints after the first `confirms`.

    Hints for a queue that is `refused` meet a 406, those of a type that is `broken` an error that nobody foresaw.
    """

    errors = (OSError, PreconditionFailed)

    def __init__(self) -> None:
        self.published: list[Hint] = []
        self.announced: list[Slice] = []
        self.waiting: dict[str, int] = {}
        self.is_down = False
        self.confirms: int | None = None
        self.refused: set[str] = set()
        self.broken: set[str] = set()

    def connect(self) -> None:
        if self.is_down:
            raise ConnectionRefusedError("the broker is down")

    def publish(self, hint: Hint) -> None:
        self.connect()
        if self.confirms is not None and len(self.published) >= self.confirms:
            raise TimeoutError("not confirmed")
        if hint.queue in self.refused:
            raise PreconditionFailed("inequivalent arg")
        if hint.type in self.broken:
            raise KeyError(hint.type)
        self.published.append(hint)

    def publish_together(self, hints: Sequence[Hint]) -> tuple[list[Hint], BaseException | None]:
        return published_one_by_one(self.publish, hints)

    def announce(self, events: Slice) -> None:
        self.connect()
        if self.confirms is not None and len(self.announced) >= self.confirms:
            raise TimeoutError("not confirmed")
        self.announced.append(events)

    def ready_count(self, queue: str) -> int:
        self.connect()
        return self.waiting.get(queue, 0)

    @property
    def ids(self) -> list:
        return [id_ for hint in self.published for id_ in hint.ids]


def ids_of(tasks: Iterable) -> set:
    return {task.id for task in tasks}
