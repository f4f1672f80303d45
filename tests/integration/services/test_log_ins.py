"""Log-ins that are ended while somebody begins or continues one: they end."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread

import pytest
import sqlalchemy as sa

from app.database import Session
from app.services.accounts import registration, sessions, users
from tests.support.factories import NOON
from tests.support.locks import somebody_waits
from tests.support.people import make_person
from tests.support.servers.waiting import wait_for

ADDRESS = "192.0.2.1"
WHENCE = {"address": ADDRESS, "now": NOON}
End = Callable[[Session, sessions.LoggedIn], object]


@pytest.fixture
def person(database_url, engine):
    """Somebody with an account."""
    return make_person(database_url)


def candidate(session, person):
    return sessions.candidate(session, person.email, **WHENCE)


@pytest.fixture
def begun(session, person):
    """Their log-in."""
    found = sessions.begin(session, candidate(session, person), person.email, **WHENCE)
    session.commit()
    return found


ENDS: dict[str, End] = {
    "logging out": lambda session, begun: sessions.end_family(session, begun.claims.family, now=NOON),
    "logging out everywhere": lambda session, begun: sessions.end_all(session, begun.claims.user_id, now=NOON),
    "a new password": lambda session, begun: registration.set_password(session, begun.claims.user_id, "x", now=NOON),
    "a new role": lambda session, begun: users.change(session, begun.claims.user_id, {"role": "admin"}, now=NOON),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_refresh_token_that_is_made_while_its_log_in_is_ended_is_refused(engine, session, begun, end):
    def end_it() -> None:
        with Session(engine) as other, other.begin():
            end(other, begun)

    continued = sessions.rotate(session, begun.refresh_token, now=NOON)  # whose transaction is still open
    ending = Thread(target=end_it)
    ending.start()
    wait_for(somebody_waits, what="the end waits for the rotation")
    session.commit()
    ending.join()

    assert sessions.rotate(session, continued.refresh_token, now=NOON) is None


def test_a_log_in_does_not_begin_once_its_password_was_changed(session, person):
    checked = candidate(session, person)
    registration.set_password(session, person.id, "another hash", now=NOON)

    assert sessions.begin(session, checked, person.email, **WHENCE) is None


def test_a_log_in_does_not_begin_once_its_account_was_closed(session, person):
    checked = candidate(session, person)
    users.change(session, person.id, {"is_disabled": True}, now=NOON)

    assert sessions.begin(session, checked, person.email, **WHENCE) is None


def continued_every(days, session, begun, *, max_age):
    """For how many days a log-in goes on that is continued every few days."""
    token, passed = begun.refresh_token, 0
    while True:
        passed += days
        following = sessions.rotate(session, token, max_age=max_age, now=NOON + timedelta(days=passed))
        if following is None:
            return passed - days
        token = following.refresh_token


@pytest.mark.parametrize(("longest", "days"), [(30, 29), (90, 89), (7, 6)])
def test_a_log_in_ends_however_often_it_is_continued(session, begun, longest, days):
    assert continued_every(1, session, begun, max_age=timedelta(days=longest)) == days


def test_a_refresh_token_lasts_no_longer_than_its_log_in(session, begun):
    def expires_after(days, longest):
        found = sessions.rotate(session, tokens[-1], max_age=timedelta(days=longest), now=NOON + timedelta(days=days))
        tokens.append(found.refresh_token)
        newest = "SELECT max(expires_at) FROM refresh_tokens WHERE created_at = :at"
        return session.scalar(sa.text(newest), {"at": NOON + timedelta(days=days)}) - NOON

    tokens = [begun.refresh_token]

    assert expires_after(10, longest=90) == timedelta(days=40)  # a token that is not used ends after 30 days
    assert expires_after(20, longest=35) == timedelta(days=35)


def test_a_shorter_limit_holds_for_log_ins_that_have_begun(session, begun):
    shorter = timedelta(days=2)

    assert sessions.rotate(session, begun.refresh_token, max_age=shorter, now=NOON + timedelta(days=3)) is None
