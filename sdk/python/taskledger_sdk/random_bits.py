"""Random numbers of the kernel, many at a time.

To ask the kernel lets go of the interpreter's lock. Of many threads that submit, another one takes it, and the one that
asked waits for its next turn: two changes of thread for each id.
"""

import os
from collections import deque

BYTES, AT_ONCE = 10, 64


class RandomBits:
    """Numbers of 80 bits, for all threads of a process; those that it forks draw their own."""

    def __init__(self) -> None:
        self._left: deque[int] = deque()
        self._pid = os.getpid()

    def draw(self) -> int:
        """The next number."""
        if self._pid != os.getpid():  # looked at each time: servers that fork by themselves call no hooks of Python's
            self._left.clear()
            self._pid = os.getpid()
        try:
            return self._left.pop()
        except IndexError:
            block = os.urandom(BYTES * AT_ONCE)
            first, *others = (int.from_bytes(block[start : start + BYTES]) for start in range(0, len(block), BYTES))
            self._left.extend(others)
            return first


random_bits = RandomBits().draw
