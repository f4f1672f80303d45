"""How deep a JSON value is, asked without a stack of calls."""

import sys

import pytest

from taskledger_sdk.json_values import depth_exceeds


def nested(levels: int):
    value: object = "a word"
    for level in range(levels):
        value = [value] if level % 2 else {"below": value}
    return value


@pytest.mark.parametrize("levels", [0, 1, 2, 64])
def test_a_value_has_as_many_levels_as_lists_and_objects_lie_in_each_other(levels):
    assert not depth_exceeds(nested(levels), levels)
    assert depth_exceeds(nested(levels + 1), levels)


def test_the_deepest_part_counts():
    assert depth_exceeds([1, {}, [[["deep"]]], 2], 3)
    assert not depth_exceeds([[1] for _ in range(1_000)], 2)


def test_a_value_deeper_than_the_stack_is_measured():
    assert depth_exceeds(nested(10 * sys.getrecursionlimit()), 64)
