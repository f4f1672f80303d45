"""How many threads each caller has: no address and no credential gets all of them."""

from collections import Counter

from app.shares import Caller, names


class ThreadsByCaller:
    """Counts threads that are at work for somebody. Only the thread that polls may use it.

    One address may have seven eighths of all threads, and so may one account. Fewer would cost an account that submits
    over many connections: what arrives together is stored by one statement, and what has no thread does not arrive.
    """

    def __init__(self, threads: int) -> None:
        self._at_work: Counter[object] = Counter()
        self._most = max(threads - threads // 8, 1)

    def may_take(self, caller: Caller) -> bool:
        """Whether a caller has fewer threads than one address, and one credential, may have."""
        return all(self._at_work[name] < self._most for name in names(caller))

    def take(self, caller: Caller) -> None:
        """A thread works for the caller."""
        for name in names(caller):
            self._at_work[name] += 1

    def leave(self, caller: Caller) -> None:
        """A thread has done its work for the caller."""
        for name in names(caller):
            self._at_work[name] -= 1
            if not self._at_work[name]:
                del self._at_work[name]
