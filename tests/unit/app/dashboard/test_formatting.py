"""How values look."""

from datetime import timedelta

import pytest

from app.dashboard.formatting import ago, brief, duration, file_size, pretty
from app.services.measuring.overview.series import width_for
from tests.support.factories import NOON


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.0123, "12 ms"), (1.26, "1.3 s"), (42, "42 s"), (60, "1 min"), (250, "4 min 10 s"),
     (7500, "2 h 5 min"), (276_000, "3 d 4 h"), (-5, "0 ms"), (None, "–")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [(NOON, "just now"), (NOON - timedelta(seconds=59), "59 s ago"), (NOON - timedelta(hours=25), "1 d ago"),
     (NOON + timedelta(minutes=5), "in 5 min"), (None, "–")],
)  # fmt: skip
def test_moments(moment, text):
    assert ago(moment, NOON) == text


def test_long_values_are_cut():
    assert pretty("x" * 100_000).endswith("…")
    assert brief({"a": "b" * 200}, 20) == '{"a": "bbbbbbbbbbbb…'
    assert [file_size(size) for size in (999, 12_300, 4_000_000_000)] == ["999 B", "12.3 kB", "4.0 GB"]


def test_a_window_has_sixty_stretches_at_most_of_a_width_that_people_know():
    assert [width_for(timedelta(**window)) for window in ({"minutes": 15}, {"hours": 1}, {"days": 1})] == [15, 60, 1800]
