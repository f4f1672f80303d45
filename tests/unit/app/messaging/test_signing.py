"""Signed hints."""

from uuid import UUID

import pytest

from app.messaging.signing import is_signed, signature

KEY = "k" * 32
IDS = [UUID(int=1), UUID(int=2)]  # always the same, as they end up in the names of the tests


def test_a_hint_that_we_signed_is_ours():
    assert is_signed(signature("greet", IDS, key=KEY), "greet", IDS, key=KEY)


@pytest.mark.parametrize(
    ("given", "type_name", "ids", "key"),
    [
        (None, "greet", IDS, KEY),
        ("", "greet", IDS, KEY),
        (17, "greet", IDS, KEY),
        (signature("greet", IDS, key=KEY), "send_email", IDS, KEY),
        (signature("greet", IDS, key=KEY), "greet", IDS[::-1], KEY),
        (signature("greet", IDS, key=KEY), "greet", IDS[:1], KEY),
        (signature("greet", IDS, key=KEY), "greet", IDS, "another key"),
    ],
)
def test_any_other_hint_is_not(given, type_name, ids, key):
    assert not is_signed(given, type_name, ids, key=key)
