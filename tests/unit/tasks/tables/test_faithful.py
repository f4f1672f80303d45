"""data_processing loses, guesses and rewrites nothing: files that once came out wrong, and what is refused."""

import json

import pytest

from taskledger_sdk.errors import PermanentError
from tests.unit.tasks.tables.tables import COUNT, process


def summed(column, function="sum", name="s"):
    return {"operation": "aggregate", "measures": [{"name": name, "function": function, "column": column}]}


def sorted_by(column, **more):
    return {"operation": "sort", "by": [{"column": column}], **more}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("c0\nv0\na;b\n", "2"),
        ('ticket,title\n#1001,Login broken\n#1002,"Typo, again"\n1003,Other\n', "3"),
        ("a,b\n\n1,2\n3,4\n\n", "2"),
        ("a\n\nx\n\n", "3"),
        ("\na\nx\n", "1"),
        ("# note\nmore\n", "1"),
        ("a,b", "0"),
    ],
)
def test_every_row_counts(text, count):
    assert process({"a.csv": text}, **COUNT).rows == [["n"], [count]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n" + "1,2\n" * 2000 + "1,2,3\n" * 100, 2002),
        ("a,b\n" + "1,2\n" * 30_000 + "1\n", 30_002),
        ('a,b\n"x\ny",2\n1\n', 4),
        ("preamble\n\na,b\n1,2\n", 3),
        ('a,b\n1,"2\n3,4\n', 2),
        ('a,b\n1,2\n1,"2"3\n', 3),
    ],
)
def test_a_line_that_does_not_fit_is_named(text, line):
    with pytest.raises(PermanentError, match=f"^a.csv, line {line}: "):
        process({"a.csv": text}, **COUNT)


def late_rows():
    rows = [{"id": n, "amount": n, "at": "2026-01-01", "code": n} for n in range(1, 25_000)]
    return [*rows, {"id": 25_000, "amount": "1.75", "at": "2026-01-02 23:59:59", "code": "00123"}]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_late_value_decides_as_much_as_the_first(name):
    if name == "a.csv":
        text = "id,amount,at,code\n" + "".join(",".join(map(str, row.values())) + "\n" for row in late_rows())
    else:
        text = "".join(json.dumps(row) + "\n" for row in late_rows())

    last = process({name: text}, operation="sort", by=[{"column": "id", "descending": True}], limit=1)
    total = process({name: text}, **summed("amount"))

    assert last.rows[1] == ["25000", "1.75", "2026-01-02 23:59:59", "00123"]
    assert total.rows == [["s"], ["312487501.75"]]


def test_a_field_that_first_appears_late_is_kept():
    text = '{"id":1}\n' * 25_000 + '{"id":2,"late":1.10}\n'

    done = process({"a.jsonl": text}, operation="filter", where=[{"column": "late", "op": "not_null"}], output="jsonl")

    assert done.lines == ['{"id":2,"late":1.10}']


def test_cells_that_nobody_touched_stay_as_they_are():
    rows = ["1,1.10,03/04/2026,10-11-12,1e5,T,00123, x ,NaN", "2,18.90,2026-01-02,12:30,-0,yes,+5,null,"]

    done = process({"a.csv": "\n".join(["k,a,b,c,d,e,f,g,h", rows[1], rows[0], ""])}, **sorted_by("k"))

    assert done.content.decode().splitlines()[1:] == rows


def test_decimals_are_added_exactly():
    done = process({"a.csv": "x\n0.10\n0.20\n"}, **summed("x"), output="jsonl")

    assert done.lines == ['{"s":0.30}']


@pytest.mark.parametrize(
    ("function", "cells", "found"),
    [
        ("sum", ["18.90", "1.10"], "20.00"),
        ("sum", ["1e2", "1.5e-3"], "100.0015"),
        ("sum", ["12345678901234567890", "1"], "12345678901234567891"),
        ("avg", ["1.00", "2.00"], "1.50"),
        ("avg", ["1", "2", "2"], "1.666666666667"),
        ("median", ["1", "2"], "1.5"),
        ("min", ["18.90", "9.10"], "9.10"),
        ("max", ["2026-01-02", "2026-01-02 23:59:59"], "2026-01-02 23:59:59"),
        ("count_distinct", ["1.0", "1.00", "1.0"], "2"),
    ],
)
def test_measures_are_exact(function, cells, found):
    assert process({"a.csv": "\n".join(["x", *cells, ""])}, **summed("x", function)).rows[1] == [found]


@pytest.mark.parametrize(
    ("function", "left", "right", "found"),
    [
        ("add", "0.10", "0.20", "0.30"),
        ("subtract", "1", "0.9", "0.1"),
        ("multiply", "12345678901.5", "98765432109", "1219326311385611948263.5"),
        ("divide", "0.3", "0.1", "3.0"),
        ("divide", "1", "3", "0.333333333333"),
        ("divide", "-2", "3", "-0.666666666667"),
        ("divide", "1", "0", ""),
        ("remainder", "0.3", "0.2", "0.1"),
        ("remainder", "5", "0", ""),
    ],
)
def test_arithmetic_is_exact(function, left, right, found):
    columns = [{"name": "x", "function": function, "arguments": [{"column": "a"}, {"column": "b"}]}]

    done = process({"a.csv": f"a,b\n{left},{right}\n"}, operation="derive", columns=columns)

    assert done.rows[1] == [left, right, found]


def test_what_is_no_number_is_named_where_one_is_needed():
    with pytest.raises(PermanentError, match=r"^a.csv, line 4: 'zwei' in column 'b' is not a number"):
        process({"a.csv": 'a,b\n"x\ny",1\nq,zwei\n'}, **summed("b"))


def test_a_comparison_with_a_number_needs_numbers():
    with pytest.raises(PermanentError, match=r"line 25002: 'n/a' in column 'a' is not a number"):
        process(
            {"a.csv": "a\n" + "1\n" * 25_000 + "n/a\n"},
            operation="filter",
            where=[{"column": "a", "op": "gt", "value": 0}],
        )


def test_a_comparison_with_a_text_compares_texts():
    done = process(
        {"a.csv": "a,b\n7,x\n007,y\n"}, operation="filter", where=[{"column": "a", "op": "eq", "value": "007"}]
    )

    assert done.rows == [["a", "b"], ["007", "y"]]


def test_names_are_compared_exactly_wherever_they_stand():
    text = "Id,id,Total\n2,1,3\n1,2,3\n"
    total = [{"name": "total", "function": "add", "arguments": [{"column": "Id"}, {"column": "id"}]}]

    assert process({"a.csv": text}, **sorted_by("Id")).rows == [["Id", "id", "Total"], ["1", "2", "3"], ["2", "1", "3"]]
    assert process({"a.csv": text}, operation="derive", columns=total).rows[:2] == [
        ["Id", "id", "Total", "total"], ["2", "1", "3", "3"],
    ]  # fmt: skip
    assert process({"a.jsonl": '{"Id":1,"id":2}\n'}, operation="select", columns=["id"], output="jsonl").lines == [
        '{"id":2}'
    ]


def test_a_join_on_a_name_in_another_case_is_refused_with_the_right_one():
    files = {"a.csv": "customer_id,x\n1,2\n", "b.csv": "Customer_ID,x\n1,2\n"}

    with pytest.raises(PermanentError, match=r"no column 'customer_id' in b.csv; did you mean 'Customer_ID'"):
        process(files, operation="join", other="b.csv", on=["customer_id"])


@pytest.mark.parametrize(
    ("files", "payload"),
    [
        ({"a.csv": "a,a\n1,2\n"}, {**COUNT}),
        (
            {"a.csv": "k,x,x_other\n1,2,3\n", "b.csv": "k,x\n1,2\n"},
            {"operation": "join", "other": "b.csv", "on": ["k"]},
        ),
        ({"a.csv": "a\n1\n"}, {"operation": "select", "columns": ["a", "a"]}),
        ({"a.csv": "Id,id\n1,2\n"}, {**sorted_by("id"), "output": "parquet"}),
        (
            {"a.csv": "a\n1\n"},
            {"operation": "aggregate", "group_by": ["a"], "measures": [{"name": "a", "function": "count"}]},
        ),
    ],
)
def test_two_columns_of_one_name_are_refused(files, payload):
    with pytest.raises(PermanentError, match=r"name|two columns"):
        process(files, **payload)


@pytest.mark.parametrize(
    ("content", "options", "cell"),
    [
        ("a\nMüller\n".encode("latin-1"), {"encoding": "latin-1"}, "Müller"),
        ("a\n10 €\n".encode("windows-1252"), {"encoding": "windows-1252"}, "10 €"),
        ("a\nŁódź\n".encode("utf-16"), {}, "Łódź"),
        ("a\nŁódź\n".encode("utf-16-be"), {"encoding": "utf-16-be"}, "Łódź"),
        ("a\nŁódź\n".encode("utf-8-sig"), {}, "Łódź"),
        (b'a\r\n"x\r\ny"\r', {}, "x\r\ny"),
    ],
)
def test_encodings_marks_and_line_ends_are_read(content, options, cell):
    assert process({"a.csv": content}, operation="select", columns=["a"], **options).rows == [["a"], [cell]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nx\nMüller\n".encode("latin-1"), "line 3: it is not utf-8 .byte fc.; .* set encoding"),
        ("a\nLodz\n".encode("utf-16-le"), "line 1: it holds a NUL character.* set encoding .utf-16-le"),
        (b"a\n\x00\n", "line 2: it holds a NUL character"),
        (b"", "it is empty"),
    ],
)
def test_what_cannot_be_read_says_which_option_to_set(content, message):
    with pytest.raises(PermanentError, match=message):
        process({"a.csv": content}, operation="select", columns=["a"])


def test_the_caller_says_how_a_file_is_written():
    done = process(
        {"a.csv": "x;'1,50'\ny;2,25\n"}, **summed("column2"), delimiter=";", quote="'", decimal=",", header=False
    )

    assert done.rows == [["s"], ["3.75"]]
    assert done.result["read"] == [
        {
            "dataset": "a.csv", "format": "csv", "rows": 2, "delimiter": ";", "quote": "'", "encoding": "utf-8",
            "decimal": ",", "header": False, "types": {"column2": "number"}, "assumed": ["encoding", "types.column2"],
        }
    ]  # fmt: skip


def test_what_was_not_said_is_assumed_and_told():
    [read] = process({"a.tsv": "a\tb\n1\t2\n"}, **sorted_by("a")).result["read"]

    assert (read["delimiter"], read["quote"], read["encoding"], read["header"]) == ("\t", '"', "utf-8", True)
    assert read["assumed"] == ["delimiter", "quote", "encoding", "decimal", "types.a"]


def test_types_are_checked_over_the_whole_file_and_reach_the_other_formats():
    text = "id,on,ok\n00123,2026-01-02,true\n1.50,,\n"
    types = {"id": "number", "on": "date", "ok": "boolean"}

    done = process({"a.csv": text}, operation="select", columns=["id", "on", "ok"], types=types, output="jsonl")

    assert done.lines == ['{"id":123.00,"on":"2026-01-02","ok":true}', '{"id":1.50,"on":null,"ok":null}']
    with pytest.raises(PermanentError, match=r"line 2: '00123' in column 'id' is not a date"):
        process({"a.csv": text}, operation="select", columns=["id"], types={"id": "date"})


def test_types_that_say_text_keep_an_operation_from_reading_numbers():
    done = process({"a.csv": "a\n10\n9\n"}, **sorted_by("a"), types={"a": "text"})

    assert done.rows == [["a"], ["10"], ["9"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a":1,"a":2}', "line 2: the field 'a' stands twice"),
        ('{"a":1,"b":{"x":1},"b":{"x":2}}', "line 2: the field 'b' stands twice"),
        ("[1]", "line 2: it is no JSON object"),
        ('{"a":01}', "line 2: it is no JSON object"),
        (r'{"a":"\ud800"}', "line 2: it "),
        (r'{"a":"\u0000"}', "line 2: it holds a NUL"),
    ],
)
def test_a_json_line_that_would_lose_something_is_named(line, message):
    with pytest.raises(PermanentError, match=f"^a.jsonl, {message}"):
        process({"a.jsonl": f'{{"a":1}}\n{line}\n'}, **COUNT)


def test_options_that_say_nothing_about_a_format_are_refused():
    with pytest.raises(PermanentError, match=r"delimiter says nothing about a\.jsonl"):
        process({"a.jsonl": '{"a":1}\n'}, **COUNT, delimiter=";")


def test_rows_that_are_equal_stay_in_the_order_of_the_file():
    rows = [[str(number % 3), str(number)] for number in range(5_000)]
    text = "k,n\n" + "".join(",".join(row) + "\n" for row in rows)

    assert process({"a.csv": text}, **sorted_by("k")).rows[1:] == sorted(rows, key=lambda row: row[0])
    assert process({"a.csv": text}, operation="deduplicate", columns=["k"]).rows[1:] == rows[:3]


def test_the_preview_of_a_result_is_small_whatever_the_cells_are():
    result = process({"a.csv": "a,b\n" + f"{'x' * 900_000},1\n" * 3}, operation="select", columns=["a", "b"]).result

    assert len(json.dumps(result)) < 5_000
