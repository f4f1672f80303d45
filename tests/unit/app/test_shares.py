"""Shares of the threads: nobody has all places, and whoever has none finds one."""

import pytest

from app.shares import Caller, Share, Threads


def account(name: str, address: str = "a") -> Caller:
    return Caller(account=name, address=address)


def taken(share: Share, caller: Caller, times: int = 600) -> int:
    return sum(share.take(caller) for _ in range(times))


@pytest.mark.parametrize(("most", "expected"), [(0, 0), (1, 1), (2, 2), (4, 3), (8, 4), (16, 8), (500, 250)])
def test_one_account_does_not_have_all(most, expected):
    assert taken(Share(most, threads=Threads()), account("one")) == expected


def test_another_account_at_the_same_address_finds_places():
    share = Share(16, threads=Threads())
    taken(share, account("one"))

    assert taken(share, account("two")) == 4


def test_many_accounts_at_one_address_leave_places_for_other_addresses():
    share = Share(16, threads=Threads())
    for number in range(50):
        taken(share, account(str(number)))

    assert share.take(account("elsewhere", "b"))


def test_a_place_that_is_given_back_can_be_taken_again():
    share = Share(1, threads=Threads())
    assert share.take(account("one"))
    assert not share.take(account("two"))
    share.leave(account("one"))

    assert share.take(account("two"))


def test_all_shares_together_leave_threads_for_requests_that_take_moments():
    threads = Threads()
    threads.are(8)
    shares = [Share(8, threads=threads) for _ in range(3)]

    assert sum(share.take(account(str(number), str(number))) for share in shares for number in range(8)) == 7


def test_one_account_leaves_itself_threads_for_requests_that_take_moments():
    threads = Threads()
    threads.are(8)
    polls, streams = Share(16, threads=threads), Share(8, threads=threads)

    assert taken(polls, account("one")) == 4
    assert not streams.take(account("one"))
    assert streams.take(account("two"))
