"""How many connections each process of a server has: who has more lets the others accept first.

All processes are woken by a connection that waits to be accepted. One that is awake already takes dozens of them while
the others wake up; and connections stay, so that it would work for all while the others rest.
"""

import mmap
import struct
import time

SLOTS = 64  # more than there are processes: gunicorn numbers them upwards, and a new one takes the slot of an old one
FRESH_SECONDS = 2.0  # what a process has not said again since then is forgotten: it has ended, or hangs
YIELD_SECONDS = 0.0003  # for each connection more: long enough to wake up and accept where a processor is free
MAX_MORE = 10
_SLOT = struct.Struct("=dq")  # a moment of time.monotonic(), connections


class ConnectionCounts:
    """In memory that is shared by the processes which are forked after this was made."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, SLOTS * _SLOT.size)

    def say(self, process: int, connections: int) -> None:
        """Say how many connections a process has, by its number."""
        _SLOT.pack_into(self._shared, process % SLOTS * _SLOT.size, time.monotonic(), connections)

    def yield_to_others(self, process: int, connections: int) -> None:
        """Let another process accept, for a moment, where one has fewer connections."""
        oldest = time.monotonic() - FRESH_SECONDS
        said = enumerate(_SLOT.iter_unpack(self._shared))
        others = (count for slot, (at, count) in said if at > oldest and slot != process % SLOTS)
        more = connections - min(others, default=connections)
        if more > 0:
            time.sleep(min(more, MAX_MORE) * YIELD_SECONDS)


COUNTS = ConnectionCounts()
