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
    """The request threads of this process: how many may be held for long, by all shares together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: Counter[object] = Counter()
        self._count: int | None = None

    def are(self, count: int) -> None:
        """There are so many threads. With a server that does not say so, there is no limit."""
        self._count = count

    def are_scarce_for(self, caller: Caller) -> bool:
        """Whether this one may hold no more of them.

        An account holds half of the threads, an address three quarters, all together seven eighths: the rest is for
        requests that take moments, also those of the same account, which has three quarters in all.
        """
        if self._count is None:
            return False
        return (
            self.held[None] >= max(self._count - max(self._count // 8, 1), 0)
            or self.held[caller.address] >= max(self._count - self._count // 4, 1)
            or (caller.account is not None and self.held[caller.account] >= max(self._count // 2, 1))
        )

    def hold(self, caller: Caller, change: int) -> None:
        """So many more are held, or fewer."""
        for who in (None, *names(caller)):
            self.held[who] += change
            if not self.held[who]:
                del self.held[who]


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
            if not self._has_room_for(caller) or self._threads.are_scarce_for(caller):
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
        self._threads.hold(caller, change)
        self._accounts[caller.account] += change
        self._addresses[caller.address] += change
        if change < 0:  # whoever has none is forgotten
            self._accounts += Counter()
            self._addresses += Counter()
