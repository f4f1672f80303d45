"""How values look in a terminal, and what people type: tables."""

import pytest
from click import BadParameter

from taskledger_sdk.cli import text
from taskledger_sdk.cli.inputs import documents_of, labels_of, moment_of, payload_of
from taskledger_sdk.cli.submitting import MOST_BYTES, MOST_ITEMS, parts_of
from taskledger_sdk.cli.tables import column, fields, rendered

ID = "01a20187-e99f-7588-b4c3-6d36409e4538"
ITEMS = [
    {"id": ID, "type": "reverse_string", "note": "x" * 100},
    {"id": ID, "type": "日本", "note": "two\nlines \x1b[31m"},
]
COLUMNS = (column("id"), column("type", only_wide=True), column("note"))


def lines(width):
    return list(rendered(COLUMNS, ITEMS, width=width, paint=False))


def test_where_nobody_looks_nothing_is_cut():
    assert lines(None) == [
        f"id{' ' * 36}type            note",
        f"{ID}  reverse_string  {'x' * 100}",
        f"{ID}  日本            two lines �[31m",
    ]


@pytest.mark.parametrize("width", [60, 80, 109, 110, 150])
def test_on_a_terminal_an_id_is_whole_and_a_line_is_one_line(width):
    shown = lines(width)

    assert all(text.width_of(line) <= width for line in shown)
    assert all(line.startswith(ID) for line in shown[1:])
    assert ("reverse_string" in shown[1]) is (width >= 110)
    assert shown[1].endswith("…") is (width < 150 or "x" * 100 not in shown[1])


def test_only_what_is_asked_for_is_painted():
    painted = (column("status", colour=lambda cell: f"<{cell}>"),)

    assert list(rendered(painted, [{"status": "OK"}], width=None, paint=True)) == ["status", "<OK    >"]
    assert list(rendered(painted, [{"status": "OK"}], width=None, paint=False)) == ["status", "OK"]


def test_fields_without_a_value_are_left_out_and_lines_stay_in_their_column():
    assert list(fields([("id", "1"), ("empty", ""), ("payload", "{\n}")])) == ["id       1", "payload  {", "         }"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), ("a\nb", "a b"), ({"ä": 1}, '{"ä": 1}'), (0, "0"), (False, "false"), ("\x1b]0;t\x07", "�]0;t�")],
)
def test_a_value_in_one_line_cannot_command_a_terminal(value, shown):
    assert text.compact(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, ""), (0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_lengths_of_time_have_units(seconds, shown):
    assert text.seconds(seconds) == shown


def test_moments_are_of_this_machines_zone_and_say_so(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert text.moment("2026-07-01T12:00:00.123456Z") == "2026-07-01 14:00:00 CEST"
        assert moment_of("2026-12-24T18:00", "--at") == "2026-12-24T18:00:00+01:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        *((None, {}), ("hello world", "hello world"), ("7", 7), ('{"a": 1}', {"a": 1}), ("null", None), ('"7"', "7")),
        *(("NaN", "NaN"), ("-Infinity", "-Infinity")),
    ],
)
def test_a_payload_is_json_or_a_word(given, payload):
    assert payload_of(given) == payload


@pytest.mark.parametrize("given", ["{a", "[1,", "[NaN]", "@missing", "@"])
def test_a_broken_payload_is_not_a_word(given):
    with pytest.raises(BadParameter):
        payload_of(given)


def test_labels_take_a_colon_or_an_equals_sign():
    assert labels_of(["team:billing", "at=noon", "url:http://x=y", "from=http://x:1"]) == {
        "team": "billing",
        "at": "noon",
        "url": "http://x=y",
        "from": "http://x:1",
    }
    with pytest.raises(BadParameter):
        labels_of(["team"])


@pytest.mark.parametrize("content", ["", "{", "1", "[1]", '{"n": NaN}', "[" * 100_000, b"\xff"])
def test_a_file_to_apply_holds_objects(tmp_path, content):
    file = tmp_path / "file.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(BadParameter):
        documents_of(str(file))


def test_submissions_travel_in_parts_that_a_service_takes():
    small, large = [{"n": 1}] * (MOST_ITEMS + 1), [{"n": "x" * (MOST_BYTES // 2)}] * 3

    assert [len(part) for part in parts_of(small)] == [MOST_ITEMS, 1]
    assert [len(part) for part in parts_of(large)] == [1, 1, 1]
    assert list(parts_of([])) == []
