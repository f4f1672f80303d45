"""New passwords: what is refused without a database."""

import pytest

from app.errors import Refused
from app.services.accounts import common_passwords, passwords


def is_refused(password: str) -> bool:
    try:
        passwords.check_new(password, email="ada@example.com", name="Ada")
    except Refused:
        return True
    return False


def test_each_of_the_3000_most_common_passwords_that_are_long_enough_is_refused():
    lines = common_passwords.LIST.read_text(encoding="utf-8").splitlines()
    long_enough = [line for line in lines if len(line) >= passwords.SHORTEST and not line.startswith("# ")]

    assert len(long_enough) >= 3000
    assert [each for each in long_enough if not is_refused(each)] == []
    assert [each for each in long_enough if each.isalpha() and not is_refused(f"{each.upper()}1!")] == []


@pytest.mark.parametrize("password", ["einstein", "johndeere", "taskledger", "Postgres2026!", "12345678901"])
def test_common_ones_names_of_programs_and_digits_are_refused(password):
    assert is_refused(password)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "vN4x-pelikan", "drei kleine Fische", "käsekuchen im Juli"]
)
def test_a_few_words_are_accepted(password):
    assert not is_refused(password)
