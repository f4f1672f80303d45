"""Who may judge leases: whoever was connected without a break."""

from app.connection_uptime import ConnectionUptime
from tests.support.factories import Steady, seconds


def test_it_counts_from_the_first_answer():
    steady = Steady()
    found = ConnectionUptime(steady)
    found.answered()
    _answered_for(found, steady, 59)

    assert not found.has_lasted(seconds(60))
    _answered_for(found, steady, 1)
    assert found.has_lasted(seconds(60))


def test_an_error_breaks_it():
    found = ConnectionUptime(Steady())
    found.answered()
    found.broke()

    assert not found.has_lasted(seconds(0))


def test_a_silence_without_an_error_breaks_it_too():
    steady = Steady()
    found = ConnectionUptime(steady)
    _answered_for(found, steady, 600)
    steady.passed += 18

    assert not found.has_lasted(seconds(60))
    found.answered()
    _answered_for(found, steady, 59)
    assert not found.has_lasted(seconds(60))
    _answered_for(found, steady, 1)
    assert found.has_lasted(seconds(60))


def _answered_for(found: ConnectionUptime, steady: Steady, lasting: int) -> None:
    for _ in range(lasting):
        steady.passed += 1
        found.answered()
