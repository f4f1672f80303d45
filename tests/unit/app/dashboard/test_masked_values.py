"""Values that forms do not show."""

import pytest

from app.dashboard.masked_values import NOT_KEPT, NOT_YOURS, unveiled, veiled
from app.dashboard.untouched import Kept, is_untouched, kept_again, moment_shown, moment_typed, pack, unpack
from app.errors import Refused
from tests.support.factories import NOON

REAL = {"url": "https://a.example/", "headers": {"Cookie": "one", "X": "two"}}
MASK = {"url": "https://a.example/", "headers": {"Cookie": "[redacted]", "X": "two"}}
SHOWN = veiled(REAL, MASK)


def test_only_what_is_hidden_is_kept_by_its_place():
    assert {**MASK, "headers": {"Cookie": Kept(text="[redacted]", path=("headers", "Cookie")), "X": "two"}} == SHOWN
    assert unveiled(SHOWN, REAL, "http_request", is_allowed=True) == REAL


def test_a_mask_in_typed_json_is_what_it_stood_for_only_at_its_very_place():
    assert kept_again(MASK, SHOWN) == SHOWN
    moved = {"url": "https://a.example/", "headers": {"X-Token": "[redacted]"}}
    assert kept_again(moved, SHOWN) == moved


def test_a_mask_that_stands_for_nothing_is_refused_and_the_same_text_elsewhere_is_a_text():
    with pytest.raises(Refused) as refused:
        unveiled(
            {"url": "https://a.example/", "headers": {"X-Token": "[redacted]"}}, REAL, "http_request", is_allowed=True
        )
    assert refused.value.errors == {"payload.headers.X-Token": [NOT_KEPT]}
    plain = {"url": "https://a.example/", "body": "[redacted]"}
    assert unveiled(plain, REAL, "http_request", is_allowed=True) == plain


def test_what_is_hidden_from_somebody_is_not_sent_for_them():
    with pytest.raises(Refused) as refused:
        unveiled(SHOWN, REAL, "http_request", is_allowed=False)
    assert refused.value.errors == {"payload.headers.Cookie": [NOT_YOURS]}


def test_a_kept_value_whose_original_is_gone_is_refused():
    with pytest.raises(Refused):
        unveiled(SHOWN, {"url": "https://a.example/"}, "http_request", is_allowed=True)


@pytest.mark.parametrize("text", ["", "x", "eJw=", pack({"a": 1})[:-8], "eJyrVspMUbKqVkpUsqoGABRtA0Y="])
def test_what_is_not_packed_by_us_unpacks_to_nothing(text):
    assert not isinstance(unpack(text), dict)


def test_moments_are_shown_as_browsers_write_them():
    moments = [NOON, NOON.replace(second=7), NOON.replace(microsecond=120_456)]
    assert [moment_shown(each)[10:] for each in moments] == ["T12:00", "T12:00:07", "T12:00:00.120"]
    assert [moment_typed(each) for each in ("2030-01-01T12:00", "2030-01-01T12:00:07.5", "soon", "")] == [
        "2030-01-01T12:00:00Z", "2030-01-01T12:00:07.5Z", "soon", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "sent", "shown", "expected"),
    [
        ("long_text", "a\r\nb", "a\rb", True),
        ("long_text", "a\r\nb ", "a\nb", False),
        ("text", "ab", "a\r\nb", True),
        ("number", "", "1e999", True),
        ("number", "", "1e99", False),
        ("number", "1", "1.0", False),
        ("date", "", "tomorrow", True),
        ("datetime", "2030-01-01T12:00:00.500", "2030-01-01T12:00:00.5", True),
        ("text", "", "x", False),
    ],
)
def test_what_a_browser_changes_by_itself_is_no_touch(kind, sent, shown, expected):
    assert is_untouched(kind, sent, shown) is expected
