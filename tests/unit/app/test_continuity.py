"""Who may judge leases: whoever was connected without a break."""

from app import continuity
from app.continuity import Continuity
from tests.factories import NOON, seconds


def connected(monkeypatch, clock: list[float]) -> Continuity:
    monkeypatch.setattr(continuity.time, "monotonic", lambda: clock[0])
    found = Continuity()
    found.answered(NOON)
    return found


def test_it_counts_from_the_first_answer(monkeypatch):
    found = connected(monkeypatch, [100.0])

    assert not found.for_at_least(seconds(60), NOON + seconds(59))
    assert found.for_at_least(seconds(60), NOON + seconds(60))


def test_an_error_breaks_it(monkeypatch):
    found = connected(monkeypatch, [100.0])
    found.broke()

    assert not found.for_at_least(seconds(0), NOON + seconds(60))


def test_a_silence_without_an_error_breaks_it_too(monkeypatch):
    clock = [100.0]
    found = connected(monkeypatch, clock)
    clock[0] += 18

    assert not found.for_at_least(seconds(60), NOON + seconds(600))
    found.answered(NOON + seconds(600))
    assert not found.for_at_least(seconds(60), NOON + seconds(659))
    assert found.for_at_least(seconds(60), NOON + seconds(660))
