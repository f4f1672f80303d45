"""Random numbers of the kernel, many at a time.

To ask the kernel lets go of the interpreter's lock. Of many threads that submit, another one takes it, and the one that
asked waits for its next turn: two changes of thread for each id.
"""

import os
from collections import deque

BYTES, AT_ONCE = 10, 64
_left: deque[int] = deque()


def random_bits() -> int:
    """80 random bits. For any thread, and for children that are forked."""
    try:
        return _left.pop()
    except IndexError:
        numbers = _asked()
        _left.extend(numbers[1:])
        return numbers[0]


def _asked() -> list[int]:
    block = os.urandom(BYTES * AT_ONCE)
    return [int.from_bytes(block[start : start + BYTES]) for start in range(0, len(block), BYTES)]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_left.clear)  # the parent gives the same ones away
