"""Strict JSON bodies, and what a refusal says of fields that are marshmallow's own and of those that are not known."""

import json

import marshmallow as ma
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest

from app.errors import Refused
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import MAX_LEVELS, StrictSchema, parse_json

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON_VALUES)
def test_json_is_read_back_as_it_was_written_unless_it_holds_nul(value: object):
    text = json.dumps(value)

    if "\\u0000" in text.replace("\\\\", ""):
        with pytest.raises(Refused):
            parse_json(text.encode())
    else:
        assert parse_json(text.encode()) == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"a": 1,}', "line 1"),
        (b"{'a': 1}", "double quotes"),
        (b"\xff", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"NaN", "NaN"),
        (b'{"a": [Infinity]}', "Infinity"),
        (b"-Infinity", "Infinity"),
        (b"1e400", "beyond the range"),
        (b"-1e400", "beyond the range"),
        (b"9" * 4301, "4300 digits"),
        (b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1), f"{MAX_LEVELS} levels"),
        (b'{"a":' * (MAX_LEVELS + 1) + b"1" + b"}" * (MAX_LEVELS + 1), f"{MAX_LEVELS} levels"),
        (b"[" * 100_000, f"{MAX_LEVELS} levels"),
    ],
)
def test_what_is_not_json_is_refused_with_the_reason(body: bytes, said: str):
    with pytest.raises(BadRequest) as caught:
        parse_json(body)

    assert said in str(caught.value.description)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[" * MAX_LEVELS + b"]" * MAX_LEVELS, MAX_LEVELS),
        (b"[" + b"[]," * 500 + b"[]]", 501),
    ],
)
def test_many_brackets_are_no_depth(body: bytes, value: int):
    parsed = parse_json(body)

    assert len(parsed) in (1, value)


def test_a_key_that_is_given_twice_counts_with_its_last_value():
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}


def test_a_pair_of_surrogates_is_a_character():
    assert parse_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b'{"payload": "a\\u0000"}', {"payload": ["must not contain NUL characters (\\u0000)"]}),
        (b'{"payload": {"a": ["x", "\\udc00"]}}', "payload.a.1"),
        (b'{"labels": {"a\\u0000": 1}}', "labels.a\\u0000"),
        (b'{"\\ud800": 1}', "\\ud800"),
        (b'"\\u0000"', "_schema"),
    ],
)
def test_text_that_postgresql_cannot_store_is_refused_where_it_stands(body: bytes, errors: object):
    with pytest.raises(Refused) as caught:
        parse_json(body)

    if isinstance(errors, dict):
        assert caught.value.errors == errors
    else:
        found = caught.value.errors
        for part in str(errors).split("."):
            assert part in found
            found = found[part]
        json.dumps(caught.value.errors).encode()


class Body(StrictSchema):
    """Fields of marshmallow's own."""

    name = ma.fields.Raw(required=True)
    items = ma.fields.List(ma.fields.Integer())
    words = ma.fields.Dict()


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"name": ["is missing"]}),
        ({"name": None}, {"name": ["must not be null"]}),
        ({"name": 1, "items": 5}, {"items": ["must be a list"]}),
        ({"name": 1, "words": []}, {"words": ["must be an object"]}),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_service(body, errors):
    with pytest.raises(ma.ValidationError) as refused:
        Body().load(body)

    assert refused.value.messages == errors


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("limmit", "is not a known field; did you mean limit?"),
        ("sort", "is not a known field; known: limit, cursor"),
    ],
)
def test_only_a_name_that_is_alike_is_suggested(name, said):
    with pytest.raises(ma.ValidationError) as refused:
        PageQuery().load({name: "1"})

    assert refused.value.messages == {name: [said]}
