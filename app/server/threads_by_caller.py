"""How many threads each caller has: no address and no credential gets all of them."""

from collections import Counter

from app.shares import Caller, names


class ThreadsByCaller:
    """Counts threads that are at work for somebody. Only the thread that polls may use it.

    One address may have seven eighths of all threads, one account three quarters: others at its address find some.
    Fewer would cost an account that submits over many connections, because what arrives together is stored by one
    statement.
    """

    def __init__(self, threads: int) -> None:
        self._at_work: Counter[object] = Counter()
        self._for_an_address = max(threads - threads // 8, 1)
        self._for_an_account = max(threads - threads // 4, 1)

    def may_take(self, caller: Caller) -> bool:
        """Whether a caller has fewer threads than one address, and one credential, may have."""
        return self._at_work[caller.address] < self._for_an_address and (
            caller.account is None or self._at_work[caller.account] < self._for_an_account
        )

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
