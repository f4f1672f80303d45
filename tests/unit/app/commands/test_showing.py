"""How tasks look in a terminal, whatever its width."""

import pytest

from app.commands.tasks import showing

ID = "01a20187-e99f-7588-b4c3-6d36409e4538"
TASKS = [
    {"id": ID, "type": "reverse_string", "status": "COMPLETED", "attempt": 1, "result": "dlrow olleh", "error": None,
     "created_at": "2026-11-26T21:04:32+00:00"},
    {"id": ID, "type": "http_request", "status": "PROCESSING", "attempt": 1, "result": None, "error": None,
     "created_at": "2026-11-26T21:04:32+00:00"},
]  # fmt: skip


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_a_list_shows_type_status_and_outcome_in_one_line_each(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))

    showing.list_of(TASKS)

    [line] = [line for line in capsys.readouterr().out.splitlines() if "COMPLETED" in line]
    assert [shown for shown in (ID, "reverse_string", "dlrow olleh") if shown not in line] == []
    assert len(line) <= columns


def test_a_wide_list_also_shows_attempts_and_moments(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")

    showing.list_of(TASKS)

    assert "2026-11-26 21:04:32" in capsys.readouterr().out


def test_what_is_piped_is_as_wide_as_it_needs_to_be(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)

    showing.list_of([{**TASKS[0], "result": "x" * 100}])

    assert "x" * 100 in capsys.readouterr().out
