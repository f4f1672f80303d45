"""Who is let go when there is too little of something: threads, connections or memory."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from app.server.connection import Connection
from app.server.deadlines import Pace

SLOW_SECONDS = 1.0  # of waiting for one client, while it is answered once
SLOW_RATE = 100_000  # bytes a second; who takes more has been answered before long


def hang_up_on_the_slowest(answering: Collection[Connection], *, threads: int) -> list[Connection]:
    """End the slowest answers: a quarter of the threads may wait for one credential, half of them for one address."""
    now = time.monotonic()
    slow = [conn for conn in answering if _is_slow(conn.sock.outgoing, now)]
    if len(slow) <= threads // 4:
        return []
    slow.sort(key=_bytes_a_second)
    victims = set(slow[: max(len(slow) - threads * 3 // 4, 0)])
    accounts: dict[object, list[Connection]] = defaultdict(list)
    addresses: dict[str, list[Connection]] = defaultdict(list)
    for conn in slow:
        accounts[conn.caller.account].append(conn)
        addresses[conn.caller.address].append(conn)
    for theirs, most in [(each, threads // 4) for each in accounts.values()] + [
        (each, threads // 2) for each in addresses.values()
    ]:
        victims.update(theirs[: max(len(theirs) - most, 0)])
    for conn in victims:
        conn.sock.hang_up()
    return list(victims)


def _is_slow(pace: Pace, now: float) -> bool:
    """Whether most of the time that it has been answered for was waiting; a live stream mostly has nothing to send."""
    seconds = now - pace.began_at
    return pace.waited_seconds >= max(SLOW_SECONDS, seconds / 2) and pace.moved_bytes < SLOW_RATE * seconds


def _bytes_a_second(conn: Connection) -> float:
    return conn.sock.outgoing.moved_bytes / conn.sock.outgoing.waited_seconds


def oldest_of_the_many(idle: Sequence[Connection]) -> Connection | None:
    """Of connections that nobody answers, in the order they began: the first of the address that has the most. Pure."""
    if not idle:
        return None
    [(address, _)] = Counter(conn.address for conn in idle).most_common(1)
    return next(conn for conn in idle if conn.address == address)


def largest_of_the_many(reading: Collection[Connection], *, most_bytes: int) -> Connection | None:
    """When half requests hold more bytes together: the largest one of the address that holds the most. Pure."""
    sizes = {conn: len(conn.incoming.arrived) for conn in reading if conn.incoming is not None}
    if sum(sizes.values()) <= most_bytes:
        return None
    by_address: Counter[str] = Counter()
    for conn, size in sizes.items():
        by_address[conn.address] += size
    [(address, _)] = by_address.most_common(1)
    return max((conn for conn in sizes if conn.address == address), key=sizes.__getitem__)
