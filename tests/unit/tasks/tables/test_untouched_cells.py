"""Whatever a file looks like: each row and each cell comes back as it is, or the file is refused. With Hypothesis."""

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from taskledger_sdk.errors import PermanentError
from tests.unit.tasks.tables.tables import COUNT, process

ODD = ",;\t|\"'#\\\r\n éß.-+_:/%{}[]0123456789eETaNn"
TELLING = [
    "", "0", "00123", "18.90", "1.10", "1e5", "-0", "+5", ".5", "1,5", "1.234,56", "NaN", "inf", "null", "NULL", "None",
    "true", "T", "yes", "2026-01-02", "2026-01-02 23:59:59", "03/04/2026", "10-11-12", "12:30", "#1001", "# note", '""',
    '"', "a\nb", "a\r\nb", "a\rb", " a ", "\t", "\\N", "\\", "日本", "😀", "Łódź", "\ufeff", "\u2028", "=1+1", "\x1f",
    "\x02",
]  # fmt: skip
CELLS = (
    st.sampled_from(TELLING)
    | st.text(ODD, max_size=6)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
)
SLOWLY = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True, kw_only=True)
class Written:
    """A CSV file, and what is in it."""

    content: bytes
    options: dict
    names: list[str]
    rows: list[list[str]]


@st.composite
def csv_files(draw):
    width = draw(st.integers(1, 5))
    names = draw(st.lists(CELLS, min_size=width, max_size=width, unique=True))
    rows = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=12))
    delimiter, quote = draw(st.sampled_from(",;\t|: ^¦x")), draw(st.sampled_from("\"'~"))
    encoding = draw(
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "windows-1252", "gb18030"])
    )
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    header = draw(st.booleans())
    text = ""
    for row in [names, *rows] if header else rows:
        cells = [_quoted(cell, delimiter, quote, draw(st.booleans()), alone=width == 1) for cell in row]
        text += delimiter.join(cells) + draw(st.sampled_from(ends))
    if draw(st.booleans()):
        text = text.rstrip("\r\n") if not rows or rows[-1][-1] else text
    # A text that begins with the mark, in a file without one, cannot be told from a file with it.
    assume(text and not (text.startswith("\ufeff") or (header and not width)))
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        assume(False)
    options = {"delimiter": delimiter, "quote": quote, "header": header}
    if encoding not in ("utf-8", "utf-8-sig", "utf-16"):
        options["encoding"] = encoding
    names = names if header else [f"column{number}" for number in range(1, width + 1)]
    return Written(content=content, options=options, names=names, rows=rows)


def _quoted(cell, delimiter, quote, wanted, *, alone):
    if wanted or (alone and not cell) or any(each in cell for each in (delimiter, quote, "\r", "\n")):
        return f"{quote}{cell.replace(quote, quote * 2)}{quote}"
    return cell


@pytest.mark.slow
@SLOWLY
@given(csv_files())
def test_every_cell_of_a_csv_file_comes_back(written):
    done = process({"a.csv": written.content}, operation="deduplicate", **written.options)

    firsts = list(dict.fromkeys(map(tuple, written.rows)))
    assert done.rows == [written.names, *map(list, firsts)]
    assert done.result["read"][0]["rows"] == len(written.rows)


@pytest.mark.slow
@SLOWLY
@given(csv_files(), st.booleans())
def test_sorting_moves_rows_and_changes_none(written, descending):
    name = next((name for name in written.names if name), None)
    assume(name)

    done = process(
        {"a.csv": written.content},
        operation="sort",
        by=[{"column": name, "descending": descending}],
        output="jsonl",
        **written.options,
    )

    found = Counter(json.dumps(json.loads(line)) for line in done.lines)
    made = (dict(zip(written.names, (cell or None for cell in row), strict=True)) for row in written.rows)
    assert found == Counter(map(json.dumps, made))


@pytest.mark.slow
@SLOWLY
@given(st.text('ab1,"#;\n\r .', max_size=40) | st.text(ODD, max_size=40))
@example("a,b\n1,2\n1,2,3\n")
@example("a,b\n1\n")
@example('a,b\n1,"2" \n')
@example('a,b\n1,"2\n')
@example("# note\na,b\n1,2\n")
@example("a\n\n1\n\n")
@example("a,b\n\n1,2\n\n")
def test_any_text_is_read_as_a_csv_reader_reads_it_or_refused(text):
    """Python's csv module is the judge; a row of another width is always refused."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        rows = []
    while rows and not rows[0]:
        del rows[0]
    width = len(rows[0]) if rows else 0
    rows = [row or [""] for row in rows] if width == 1 else [row for row in rows if row]
    sound = bool(rows) and {len(row) for row in rows} == {width} and len(set(rows[0])) == width

    try:
        done = process({"a.csv": text}, operation="deduplicate")
    except PermanentError:
        assert not sound
    else:
        assert done.rows == [rows[0], *map(list, dict.fromkeys(map(tuple, rows[1:])))]
        assert done.result["read"][0]["rows"] == len(rows) - 1


NUMBERS = st.sampled_from(["0", "1.10", "-0", "1e5", "1E-7", "123456789012345678901234567890", "-0.0", "2.50"])
TEXTS = CELLS.filter(lambda text: "\0" not in text).map(json.dumps)
VALUES = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["true", "false", "null"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "A", "b", 'c"d', "é", "x y"]), VALUES, min_size=1)


@pytest.mark.slow
@SLOWLY
@given(st.lists(OBJECTS, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n", "\n\n"]), st.sampled_from([":", ": "]))
def test_every_value_of_json_lines_comes_back_with_its_own_digits(objects, end, colon):
    lines = [
        "{" + ",".join(f"{json.dumps(name)}{colon}{value}" for name, value in row.items()) + "}" for row in objects
    ]
    name = next(iter(objects[0]))

    done = process(
        {"a.jsonl": end.join(lines)}, operation="filter", match="any", output="jsonl",
        where=[{"column": name, "op": "null"}, {"column": name, "op": "not_null"}],
    )  # fmt: skip

    def read(line):
        return json.loads(line, parse_int=lambda text: f"<{text}>", parse_float=lambda text: f"<{text}>")

    assert list(map(read, done.lines)) == list(map(read, lines))


@pytest.mark.parametrize("place", [1, 20_479, 20_481, 29_999])
def test_a_value_far_down_is_as_good_as_the_first(place):
    rows = [[str(number), str(number), "2026-01-01", str(number)] for number in range(30_000)]
    rows[place] = [str(place), "1.75", "2026-01-02 23:59:59", "00123"]
    text = "id,amount,at,code\n" + "".join(f"{','.join(row)}\n" for row in rows)

    done = process({"a.csv": text}, operation="sort", by=[{"column": "id"}])

    assert done.rows[1:] == rows


def test_every_row_counts_of_a_file_with_as_many_rows_as_fit_into_the_buffers():
    text = "a,b\n" + '"x, y",1\n' * 200_000

    assert process({"a.csv": text}, **COUNT).rows == [["n"], ["200000"]]
