"""Claims that wait: who is woken, and what a thread that nobody needs does."""

import threading
import time

import pytest
import sqlalchemy as sa

from app.shares import Caller
from app.web.live import waiting_claims
from app.web.live.waiting_claims import WaitingClaims
from tests.support.servers.waiting import wait_for

CALLER = Caller(account="somebody", address="127.0.0.1")


@pytest.fixture
def claims(application, engine):
    return WaitingClaims(application.extensions["taskledger.autocommit"], most=16)


class Claimant:
    """A claim in a thread of its own; it finds what is put into `found`."""

    def __init__(self, application, claims, *types, seconds=20.0):
        self.found, self.looks, self.answer = [], 0, None
        self._thread = threading.Thread(target=self._run, args=(application, claims, types, seconds))
        self._thread.start()

    def _run(self, application, claims, types, seconds):
        with application.test_request_context():
            self.answer = claims.wait(types, self._look, seconds=seconds, caller=CALLER)

    def _look(self):
        self.looks += 1
        return self.found or None

    def join(self):
        self._thread.join(10)
        assert not self._thread.is_alive()


def notify(engine, type_name):
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_notify('taskledger_work', :name)"), {"name": type_name})


def test_one_claim_of_the_type_is_woken_for_a_hint_and_passes_it_on(application, claims, engine, monkeypatch):
    monkeypatch.setattr(waiting_claims, "LOOK_SECONDS", 60.0)
    waiting = [Claimant(application, claims, "resize") for _ in range(2)]
    other = Claimant(application, claims, "other_type", seconds=1.5)
    wait_for(lambda: all(each.looks for each in (*waiting, other)))
    time.sleep(0.5)  # until it listens
    for each in waiting:
        each.found = ["task"]

    notify(engine, "resize")
    for each in waiting:
        each.join()
    other.join()

    assert [each.answer for each in waiting] == [(["task"], True)] * 2
    assert (other.answer, other.looks) == ((None, True), 1)


def test_without_a_word_it_looks_again(application, claims, engine):
    claimant = Claimant(application, claims, "resize")
    wait_for(lambda: claimant.looks)
    claimant.found = ["task"]
    with engine.begin() as connection:  # as after a notification that was lost
        connection.execute(sa.text("ALTER TABLE hints DISABLE TRIGGER tell_of_hints"))
        connection.execute(
            sa.text("INSERT INTO hints (type, rank, task_id, published_at) "
                    "VALUES ('resize', 1, gen_random_uuid(), now())")
        )  # fmt: skip
        connection.execute(sa.text("ALTER TABLE hints ENABLE TRIGGER tell_of_hints"))

    claimant.join()

    assert claimant.answer == (["task"], True)


def test_one_account_has_half_of_the_places(application, claims):
    waiting = [Claimant(application, claims, "resize", seconds=3) for _ in range(9)]
    for each in waiting:
        each.join()

    assert sorted(each.answer[1] for each in waiting) == [False] + [True] * 8


def test_its_thread_ends_when_nobody_waits_and_another_takes_its_place(application, claims, monkeypatch):
    monkeypatch.setattr(waiting_claims, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(waiting_claims, "LOOK_SECONDS", 0.1)
    Claimant(application, claims, "resize", seconds=0.5).join()
    wait_for(lambda: claims._thread is None)

    claimant = Claimant(application, claims, "resize")
    wait_for(lambda: claimant.looks)
    claimant.found = ["task"]
    with claims._changed:
        claims._wake(("resize",))
    claimant.join()

    assert claimant.answer == (["task"], True)
    wait_for(lambda: claims._thread is None)
