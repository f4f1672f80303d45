"""Files that commands read: what cannot be read is one line, and exit status 2."""

import pytest
from click.testing import CliRunner

from app.commands.tasks.group import tasks


@pytest.fixture
def files(tmp_path):
    """Paths of every kind of file that is no payload."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00{")
    (tmp_path / "broken").write_text("{")
    (tmp_path / "deep").write_text("[" * 100_000)
    return {
        "missing": tmp_path / "missing", "folder": tmp_path, "binary": tmp_path / "binary", "empty": "",
        "broken": tmp_path / "broken", "deep": tmp_path / "deep",
        "below a file": tmp_path / "binary" / "x", "long": "x" * 5_000,
    }  # fmt: skip


KINDS = ["missing", "folder", "binary", "empty", "broken", "deep", "below a file", "long"]
WAYS = {
    "submit": lambda path: ["submit", "reverse_string", f"@{path}"],
    "retry": lambda path: ["retry", "00000000-0000-7000-8000-000000000000", "--payload", f"@{path}"],
    "each": lambda path: ["submit", "reverse_string", "--each", str(path)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_cannot_be_read_is_said_in_one_line(files, kind, way):
    done = CliRunner().invoke(tasks, ["--url", "http://127.0.0.1:9", *WAYS[way](files[kind])])

    assert done.exit_code == 2, done.output
    [said] = [line for line in done.output.splitlines() if line.startswith("Error:")]
    assert "Traceback" not in done.output
    assert "PAYLOAD" in said or "--each" in said


def test_input_that_is_no_text_is_said_in_one_line():
    done = CliRunner().invoke(tasks, ["--url", "http://127.0.0.1:9", "submit", "x", "-"], input=b"\xff\xfe")

    assert done.exit_code == 2
    assert "standard input is no text in UTF-8: byte 0" in done.output
