"""Places that hold a thread of the API for long, of which no account and no address may take all."""

import threading
from collections import Counter
from typing import NamedTuple

SEVERAL = 8


class Caller(NamedTuple):
    """Whose a place is: an account (or the credential that tells it apart), if it is known, and an address."""

    account: object
    address: str


def names(caller: Caller) -> tuple[object, ...]:
    """What is counted for a caller: the address, and the account if it is known."""
    return (caller.address,) if caller.account is None else (caller.address, caller.account)


class Threads:
    """The request threads of this process: how many may be held for long by all shares together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held = 0
        self._most: int | None = None

    def are(self, count: int) -> None:
        """There are so many threads; an eighth of them, and at least one, stays free for requests that take moments."""
        self._most = max(count - max(count // 8, 1), 0)

    @property
    def are_scarce(self) -> bool:
        """Whether no more may be held. With a server that did not tell how many there are, never."""
        return self._most is not None and self.held >= self._most


THREADS = Threads()


class Share:
    """So many places of one kind.

    One account has at most half of them (of fewer than eight: three quarters). The last quarter is for accounts that
    have none, the last eighth for those of them at an address that has none.
    """

    def __init__(self, most: int, *, threads: Threads = THREADS) -> None:
        self._most = most
        self._for_an_account = most // 2 if most >= SEVERAL else most - most // 4
        self._threads = threads
        self._taken = 0
        self._accounts: Counter[object] = Counter()
        self._addresses: Counter[str] = Counter()

    def take(self, caller: Caller) -> bool:
        """Take a place; whether there was one. Give it back with `leave`."""
        with self._threads.lock:
            if not self._has_room_for(caller) or self._threads.are_scarce:
                return False
            self._count(caller, 1)
            return True

    def leave(self, caller: Caller) -> None:
        """Give a place back that was taken in this name."""
        with self._threads.lock:
            self._count(caller, -1)

    def _has_room_for(self, caller: Caller) -> bool:
        theirs = self._accounts[caller.account]
        if theirs:
            return theirs < self._for_an_account and self._taken < self._most - self._most // 4
        if self._addresses[caller.address]:
            return self._taken < self._most - self._most // 8
        return self._taken < self._most

    def _count(self, caller: Caller, change: int) -> None:
        self._taken += change
        self._threads.held += change
        self._accounts[caller.account] += change
        self._addresses[caller.address] += change
        if change < 0:  # whoever has none is forgotten
            self._accounts += Counter()
            self._addresses += Counter()
