"""What a payload may be: strictly what its annotation says, and every fault by its path."""

import datetime as dt
import sys
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from marshmallow.validate import Email, Equal, Length, NoneOf, OneOf, Range, Regexp

from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.payload import PayloadSpec, Places, rule
from taskledger_sdk.payload.fields import Code


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True, kw_only=True)
class Line:
    text: str = rule(Length(min=1, max=20))
    price: Decimal = rule(Places(2), Range(min=0))


@dataclass(frozen=True, kw_only=True)
class Invoice:
    to: str = rule(Email())
    lines: list[Line] = rule(Length(min=1))
    size: Size = Size.SMALL
    notes: dict[str, str] = rule(default_factory=dict)
    date_from: dt.date | None = None
    date_to: dt.date | None = None

    def __post_init__(self) -> None:
        if self.date_from and self.date_to and self.date_to < self.date_from:
            raise ValueError("date_to must not be before date_from")


@dataclass(frozen=True, kw_only=True)
class Keep:
    operation: Literal["keep", "select"]
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Head:
    operation: Literal["head"]
    rows: int = rule(Range(min=1), default=10)


Short = Annotated[str, rule(Length(max=3))]


@pytest.mark.parametrize(
    ("annotation", "sent", "loaded"),
    [
        (str, "", ""),
        (str, "naïve 😀\n", "naïve 😀\n"),
        (int, 5, 5),
        (int, -0.0, 0),
        (int, 3.0, 3),  # an integer in JSON Schema
        (int, 10**40, 10**40),
        (float, 1, 1.0),
        (float, -2.5, -2.5),
        (bool, False, False),
        (str | None, None, None),
        (Short | None, "abc", "abc"),
        (Annotated[str | None, rule(Length(max=3))], None, None),
        (Literal["a", 1, True], True, True),
        (Literal["a", 1], 1.0, 1),
        (Size, "l", Size.LARGE),
        (Size | None, None, None),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (list[list[str]], [["a"], []], [["a"], []]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[Short, int], {"abc": 1}, {"abc": 1}),
        (dict[str, Any], {"a": [None, {"b": 1.5}]}, {"a": [None, {"b": 1.5}]}),
        (Any, None, None),
        (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
        (dt.datetime, "2024-01-01T12:00:00Z", dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)),
        (dt.datetime, "2024-01-01t12:00:00.25+02:00", dt.datetime(2024, 1, 1, 10, 0, 0, 250_000, tzinfo=dt.UTC)),
        (dt.datetime, "2016-12-31T23:59:60Z", dt.datetime(2017, 1, 1, tzinfo=dt.UTC)),
        (Decimal, "-12.345", Decimal("-12.345")),
        (Annotated[Decimal, rule(Places(2))], "0.10", Decimal("0.10")),
        (UUID, "018F3c5e-7d2a-7000-8000-0123456789ab", UUID("018f3c5e-7d2a-7000-8000-0123456789ab")),
        (Annotated[str, rule(Regexp("^[a-z]+$"))], "abc", "abc"),
        (Annotated[str, rule(OneOf(["a", "b"]))], "b", "b"),
        (Head | Keep, {"operation": "head"}, Head(operation="head", rows=10)),
        (Keep | Head | None, {"operation": "select", "columns": []}, Keep(operation="select", columns=())),
        (Keep | Head | None, None, None),
        (
            Invoice,
            {"to": "a@example.com", "lines": [{"text": "x", "price": "1.20"}], "size": "l"},
            Invoice(to="a@example.com", lines=[Line(text="x", price=Decimal("1.20"))], size=Size.LARGE),
        ),
    ],
)
def test_what_fits_is_loaded_as_its_annotation_says(annotation, sent, loaded):
    value = PayloadSpec.of(annotation).load(sent)

    assert (type(value), value) == (type(loaded), loaded)


@pytest.mark.parametrize(
    ("annotation", "sent"),
    [
        (str, 3),
        (str, None),
        (str, "a\x00b"),
        (str, "\ud800"),
        (int, "3"),
        (int, True),
        (int, 3.5),
        (int, float("nan")),
        (float, "1.5"),
        (float, False),
        (float, float("inf")),
        (float, float("nan")),
        (float, 10**400),
        (float, int(sys.float_info.max) + 1),
        (bool, 1),
        (bool, "true"),
        (Literal["a", 1], True),
        (Literal[True], 1),
        (Literal["a"], ["a"]),
        (Size, "LARGE"),
        (list[int], (1, 2)),
        (list[int], {"0": 1}),
        (list[int], "12"),
        (tuple[int, ...], [1, "2"]),
        (dict[str, int], [["a", 1]]),
        (dict[str, int], {"a\x00": 1}),
        (dict[Short, int], {"abcd": 1}),
        (Any, float("inf")),
        (Any, [{"a": ["\x00"]}]),
        (Any, {"\udfff": 1}),
        (dt.date, "2023-02-29"),
        (dt.date, "20240101"),
        (dt.date, "2024-W01-1"),
        (dt.date, "２０２４-01-01"),
        (dt.datetime, "2024-01-01T12:00:00"),
        (dt.datetime, "2024-01-01"),
        (dt.datetime, 1_700_000_000),
        (dt.datetime, "0001-01-01T00:00:00+23:59"),
        (dt.datetime, "9999-12-31T23:59:60Z"),
        (dt.datetime, "2024-01-01T24:00:00Z"),
        (Decimal, 12.5),
        (Decimal, 12),
        (Decimal, "1e3"),
        (Decimal, "NaN"),
        (Decimal, "1_000"),
        (Decimal, "01"),
        (Decimal, "9" * 19),
        (Annotated[Decimal, rule(Places(2))], "0.101"),
        (Annotated[Decimal, rule(Places(0))], "1.0"),
        (Annotated[Decimal, rule(Range(min=0))], "-1"),
        (UUID, "{018f3c5e-7d2a-7000-8000-0123456789ab}"),
        (UUID, "018f3c5e7d2a700080000123456789ab"),
        (Annotated[str, rule(Regexp("[a-z]+"))], "abc!"),
        (Annotated[str, rule(Regexp("^[a-z]+$"))], "abc\n"),
        (Annotated[str, rule(Regexp("a|bc"))], "ac"),
        (Annotated[str, rule(Regexp(r"\d"))], "３"),
        (Annotated[str, rule(NoneOf(["root"]))], "root"),
        (Annotated[int, rule(Equal(1))], 2),
        (Annotated[int, rule(Range(min=0, min_inclusive=False))], 0),
        (Annotated[dict[str, int], rule(Length(max=1))], {"a": 1, "b": 2}),
        (Annotated[list[int], rule(Length(equal=1))], []),
        (Annotated[Short, rule(Length(min=2))], "a"),
        (Annotated[Short, rule(Length(min=2))], "abcd"),
        (Line, {"text": "x", "price": "1.20", "colour": "red"}),
        (Line, [["text", "x"]]),
        (Keep | Head, {"rows": 3}),
        (Keep | Head, {"operation": "tail"}),
        (Keep | Head, {"operation": ["head"]}),
        (Keep | Head, {"operation": "head", "columns": []}),
        (Keep | Head, None),
    ],
)
def test_what_does_not_fit_is_refused(annotation, sent):
    with pytest.raises(PayloadRefused):
        PayloadSpec.of(annotation).load(sent)


@pytest.mark.parametrize(
    ("annotation", "sent", "errors"),
    [
        (int, "3", ["must be a whole number, not a string"]),
        (str, None, ["must not be null"]),
        (Size, "m", ['must be one of "s", "l"']),
        (list[int], [1, None, "3"], {"1": ["must not be null"], "2": ["must be a whole number, not a string"]}),
        (
            Line,
            {"text": "", "priec": "1"},
            {
                "text": ["Length must be between 1 and 20."],
                "price": ["is missing"],
                "priec": ["is not a known field"],
            },
        ),
        (Invoice, 3, {"_schema": ["must be an object"]}),
        (dict[str, int], {"a": True}, {"a": ["must be a whole number, not a boolean"]}),
        (dict[str, str], {"a\x00": "b"}, {"a\\u0000": ["must not contain NUL characters (\\u0000)"]}),
        (list[Keep | Head], [{"operation": "tail"}], {"0": {"operation": ['must be one of "keep", "select", "head"']}}),
        (
            Invoice,
            {
                "to": "a@example.com",
                "lines": [{"text": "x", "price": "1"}],
                "date_from": "2024-02-01",
                "date_to": "2024-01-01",
            },
            {"_schema": ["date_to must not be before date_from"]},
        ),
    ],
)
def test_each_fault_is_named_below_its_path(annotation, sent, errors):
    with pytest.raises(PayloadRefused) as refused:
        PayloadSpec.of(annotation).load(sent)

    assert refused.value.errors == {"payload": errors}


def test_a_million_wrong_items_are_answered_with_the_first_few():
    with pytest.raises(PayloadRefused) as refused:
        PayloadSpec.of(list[int]).load(["x"] * 1_000_000)

    assert len(refused.value.errors["payload"]) == 20


def test_ten_thousand_unknown_fields_are_answered_with_the_first_few():
    with pytest.raises(PayloadRefused) as refused:
        PayloadSpec.of(Head).load({"operation": "head", **{f"x{number}": 1 for number in range(10_000)}})

    assert len(refused.value.errors["payload"]) == 50


def test_what_a_refusal_quotes_can_be_stored_and_sent():
    spec = PayloadSpec.of(
        Annotated[dict[str, Annotated[str, rule(Regexp("[a-z]", error="{input} is no letter"))]], rule()]
    )

    with pytest.raises(PayloadRefused) as refused:
        spec.load({"\ud800": "X" * 10_000})

    text = repr(refused.value.errors)
    text.encode()
    assert len(text) < 1_000


def test_a_document_deeper_than_pythons_stack_is_loaded_as_any_json():
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]

    assert PayloadSpec.of(Any).load(deep) is deep


def test_the_default_of_a_factory_is_not_shared_between_payloads():
    spec = PayloadSpec.of(Invoice)
    sent = {"to": "a@example.com", "lines": [{"text": "x", "price": "1.20"}]}

    assert spec.load(sent).notes is not spec.load(sent).notes


def test_faults_have_codes_where_they_do_not_depend_on_what_stands_inside():
    sent = {"to": ["a@b.example"], "lines": [{"text": "", "price": "1"}], "notes": {"a": 5}, "more": {}, "size": "xl"}

    found = {fault.path: fault.code for fault in PayloadSpec.of(Invoice).faults(sent)}

    assert found == {
        ("to",): Code.WRONG_TYPE,
        ("lines", "0", "text"): None,
        ("notes", "a"): Code.WRONG_TYPE,
        ("size",): None,
        ("more",): Code.UNKNOWN_FIELD,
    }
    assert PayloadSpec.of(str).faults("fits") == []


def test_a_whole_number_just_above_what_the_schema_allows_is_refused_although_it_would_round_down():
    spec = PayloadSpec.of(float)
    largest = int(Decimal(repr(sys.float_info.max)))  # a little less than the float itself

    assert spec.load(sys.float_info.max) == sys.float_info.max
    assert spec.load(largest) == sys.float_info.max
    with pytest.raises(PayloadRefused, match="must be a finite number"):
        spec.load(largest + 1)
