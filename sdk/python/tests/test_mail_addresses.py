"""Mail addresses, as far as the process of whoever uses them is concerned."""

import threading

import email_validator
import pytest

from taskledger_sdk.payload.mail_addresses import canonical

LIST = email_validator.SPECIAL_USE_DOMAIN_NAMES


@pytest.mark.parametrize("address", ["ann@localhost", "ann@shop.local", "ann@shop.test", "ann@example.org"])
def test_a_company_may_have_addresses_with_names_of_its_own(address):
    assert canonical(address) == address


def test_the_list_of_the_library_stays_as_it_was_for_everybody_else():
    before = list(LIST)

    canonical("ann@shop.local")
    with pytest.raises(ValueError, match="is no e-mail address"):
        canonical("ann@@shop.local")

    assert before
    assert before == LIST


def test_threads_that_check_at_the_same_time_leave_the_list_as_it_was():
    before, faults = list(LIST), []

    def check() -> None:
        try:
            for _ in range(200):
                canonical("ann@shop.local")
        except ValueError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert (faults, list(LIST)) == ([], before)
