"""ETags of tasks: the moment of the last change, to the microsecond, and back."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from app.web.requests.etags import EPOCH, States, etag

CHANGED = datetime(2026, 11, 28, 12, 0, 0, 123_457, tzinfo=UTC)


def tag_of(moment: datetime) -> str:
    return etag(SimpleNamespace(updated_at=moment))


def read(header: str):
    return States().deserialize(header)


def test_a_tag_is_another_one_a_microsecond_later():
    assert tag_of(CHANGED) != tag_of(CHANGED + timedelta(microseconds=1))


@pytest.mark.parametrize("moment", [CHANGED, EPOCH, datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)])
def test_a_tag_says_its_moment_exactly(moment):
    assert read(f'"{tag_of(moment)}"') == {moment}


def test_several_tags_are_several_moments_and_a_star_is_any():
    later = CHANGED + timedelta(seconds=1)

    assert read(f'"{tag_of(CHANGED)}", "{tag_of(later)}"') == {CHANGED, later}
    assert read("*") is None


@pytest.mark.parametrize("header", ['""', '"xyz"', '"not ours", "neither"', f'"{"f" * 40}"', ""])
def test_a_tag_that_we_never_gave_names_no_moment(header):
    assert read(header) == frozenset()


def test_a_tag_that_a_proxy_made_weak_names_the_same_state():
    assert read(f'W/"{tag_of(CHANGED)}"') == {CHANGED}
