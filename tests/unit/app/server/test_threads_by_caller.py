"""Threads by caller: nobody has all of them."""

import pytest

from app.server.threads_by_caller import ThreadsByCaller
from app.shares import Caller


@pytest.mark.parametrize(("account", "most"), [(None, 14), ("ada", 12)])
def test_neither_an_address_nor_an_account_has_all_threads(account, most):
    threads, caller = ThreadsByCaller(16), Caller(address="192.0.2.1", account=account)

    taken = 0
    while threads.may_take(caller):
        threads.take(caller)
        taken += 1

    assert taken == most
    assert threads.may_take(Caller(address="192.0.2.2", account=None))
    threads.leave(caller)
    assert threads.may_take(caller)


def test_an_account_has_no_more_from_several_addresses():
    threads = ThreadsByCaller(8)
    for number in range(6):
        threads.take(Caller(address=f"192.0.2.{number}", account="ada"))

    assert not threads.may_take(Caller(address="192.0.2.99", account="ada"))


def test_one_thread_may_always_be_taken():
    assert ThreadsByCaller(1).may_take(Caller(address="192.0.2.1", account="ada"))
