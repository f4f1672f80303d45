"""Who looks dead is not ended for what one look has shown."""

from app.services.recovery.suspicion import CONFIRMED_AFTER_SECONDS, MAX_GAP_SECONDS, Suspicion
from tests.support.factories import Steady


def looks(suspicion: Suspicion[str], steady: Steady, *seen: set[str], every: float = 1.0) -> list[set[str]]:
    confirmed = []
    for each in seen:
        steady.passed += every
        confirmed.append(suspicion.confirmed(each))
    return confirmed


def test_what_looks_dead_in_every_look_is_confirmed_after_some_seconds():
    steady = Steady()

    confirmed = looks(Suspicion(steady), steady, *[{"a"}] * 6)

    assert confirmed == [set()] * int(CONFIRMED_AFTER_SECONDS) + [{"a"}]


def test_a_sign_of_life_begins_the_wait_anew():
    steady = Steady()

    assert not any(looks(Suspicion(steady), steady, {"a"}, {"a"}, {"a"}, {"b"}, {"a"}, {"a"}, {"a"}))


def test_a_gap_between_looks_says_nothing_of_what_was_in_it():
    """The table was locked, or the server stood still: in the moment of the release everything looks dead."""
    steady = Steady()
    suspicion: Suspicion[str] = Suspicion(steady)
    looks(suspicion, steady, {"a"}, {"a"}, {"a"}, {"a"})
    steady.passed += MAX_GAP_SECONDS + 20

    assert suspicion.confirmed({"a"}) == set()
