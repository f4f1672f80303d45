"""Hints that are not for the broker: whoever keeps them says so, and takes them in place of it."""

from collections.abc import Sequence
from typing import Protocol

from app.messaging.messages import Hint


class Line(Protocol):
    """A place beside the broker in which hints wait. Its methods may raise whatever its place raises."""

    def takes(self, queue: str) -> bool:
        """Whether hints for this queue are kept here."""

    def publish(self, hints: Sequence[Hint]) -> None:
        """Keep them: all, or none."""

    def ready_count(self, queue: str) -> int:
        """How many hints wait for somebody to take them."""


class Nowhere:
    """All hints go to the broker."""

    def takes(self, queue: str) -> bool:
        """Nothing."""
        return False

    def publish(self, hints: Sequence[Hint]) -> None:
        """Never called, as nothing is taken."""
        raise NotImplementedError(f"nobody keeps {len(hints)} hints")

    def ready_count(self, queue: str) -> int:
        """Never called, as nothing is taken."""
        raise NotImplementedError(f"nobody keeps hints of {queue}")


_line: Line = Nowhere()


def keep_by(line: Line) -> None:
    """In this process, hand hints that this line takes to it."""
    global _line
    _line = line


def line() -> Line:
    """The line of this process."""
    return _line
