"""What looks dead, and for how long: nothing is ended for what one look has shown."""

from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

from app import clock

K = TypeVar("K", bound=Hashable)

CONFIRMED_AFTER_SECONDS = 5.0  # a child renews its lease within this, once nothing keeps it from doing so
MAX_GAP_SECONDS = 3.0


class Suspicion(Generic[K]):
    """Confirms what looked dead in every look for some seconds.

    A lock on a table, a stalled server or a clock that was set make the healthy look dead in the moment in which that
    is over. They show that they live a second later; whoever is dead does not.
    """

    def __init__(self, steady: Callable[[], float] = clock.steady) -> None:
        self._steady = steady
        self._since: dict[K, float] = {}
        self._looked = 0.0

    def confirmed(self, seen: Collection[K]) -> set[K]:
        """Those of `seen`, which look dead now, that have looked so for long enough, without a gap between looks."""
        now = self._steady()
        if now - self._looked > MAX_GAP_SECONDS:
            self._since = {}
        self._looked = now
        self._since = {key: self._since.get(key, now) for key in seen}
        return {key for key, since in self._since.items() if now - since >= CONFIRMED_AFTER_SECONDS}
