"""Counts in memory: many threads at once, each of which is counted."""

import threading
import time

from limits.storage import MemoryStorage, storage_from_string

from app.web.rate_counts import MemoryCounts

THREADS, TIMES = 8, 100


def slowed(counts: type[MemoryStorage]) -> MemoryStorage:
    """Counts that are interrupted where it hurts: between making a timer and starting it."""

    class Slowed(counts):
        @property
        def timer(self) -> threading.Timer:
            return self._timer

        @timer.setter
        def timer(self, made: threading.Timer) -> None:
            self._timer = made
            time.sleep(0.001)

    return Slowed()


def faults_of(counts: MemoryStorage) -> list[RuntimeError]:
    """What threads meet that count at once."""
    faults = []

    def count() -> None:
        try:
            for _ in range(TIMES):
                counts.incr("key", 60)
                time.sleep(0.001)
        except RuntimeError as error:
            faults.append(error)

    threads = [threading.Thread(target=count) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def test_the_setting_makes_these_counts():
    assert isinstance(storage_from_string("memory://"), MemoryCounts)


def test_threads_that_count_at_once_start_one_timer(monkeypatch):
    monkeypatch.setattr("app.web.rate_counts.CLEAN_SECONDS", 0.001)  # it ends at once, and is wanted again and again
    counts = slowed(MemoryCounts)

    assert faults_of(counts) == []
    assert counts.get("key") == THREADS * TIMES


def test_old_counts_are_forgotten(monkeypatch):
    monkeypatch.setattr("app.web.rate_counts.CLEAN_SECONDS", 0.01)
    counts = MemoryCounts()
    counts.incr("old", 0.01)
    time.sleep(0.05)
    counts.incr("new", 60)

    deadline = time.monotonic() + 5
    while "old" in counts.storage and time.monotonic() < deadline:
        time.sleep(0.01)

    assert set(counts.storage) == {"new"}
