"""`tledger types --python` and `--typescript`: what is printed, written and compared."""

import pytest

from taskledger_sdk.payload_types import source

SHOWN = {
    "name": "count_words",
    "schema_hash": "0123456789ab",
    "summary": "Count words.",
    "description": "",
    "payload": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
}
CHANGED = {**SHOWN, "schema_hash": "ba9876543210"}


def offer(service, *task_types):
    service.answer("GET", "/task-types", {"items": list(task_types), "next": None})


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_the_types_are_printed(tledger, service, language):
    offer(service, SHOWN)

    done = tledger("types", f"--{language}")

    assert (done.exit_code, done.stdout) == (0, source([SHOWN], language))
    assert service.url not in done.stdout


def test_a_file_is_written_and_then_current_until_a_type_changes(tledger, service, home):
    offer(service, SHOWN)
    offer(service, SHOWN)
    offer(service, SHOWN)
    offer(service, CHANGED)
    options = ("types", "--python", "--out", "payloads.py")

    absent = tledger(*options, "--check")
    written = tledger(*options)
    current = tledger(*options, "--check")
    changed = tledger(*options, "--check")

    assert (absent.exit_code, written.exit_code, current.exit_code, changed.exit_code) == (1, 0, 0, 1)
    assert (written.stdout, written.stderr) == ("", "Wrote payloads.py.\n")
    assert current.stderr == "payloads.py is current.\n"
    assert "run `tledger types --python --out payloads.py`" in changed.stderr
    assert (home / "here" / "payloads.py").read_text() == source([SHOWN], "python")


def test_a_file_that_is_something_else_is_not_current_and_can_be_replaced(tledger, service, home):
    offer(service, SHOWN)
    (home / "here" / "payloads.ts").write_bytes(b"\xff\xfe")
    options = ("types", "--typescript", "--out", "payloads.ts")

    assert tledger(*options, "--check").exit_code == 1
    assert tledger(*options).exit_code == 0
    assert (home / "here" / "payloads.ts").read_text() == source([SHOWN], "typescript")


def test_a_file_that_cannot_be_written_is_named(tledger, service):
    offer(service, SHOWN)

    done = tledger("types", "--python", "--out", "missing/payloads.py")

    assert done.exit_code == 1
    assert "missing/payloads.py cannot be read or written: No such file or directory." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--python", "--check"], "--check compares with a file: give it with --out."),
        (["--out", "payloads.py"], "Give a command, or --python or --typescript."),
        (["--python", "list"], "--python and --typescript stand without list."),
    ],
)
def test_wrong_usage_is_told_before_the_service_is_asked(tledger, service, arguments, said):
    done = tledger("types", *arguments)

    assert (done.exit_code, service.requests) == (2, [])
    assert said in done.stderr


def test_a_refusal_is_told_as_others_are(tledger, service):
    service.refuse("GET", "/task-types", 401, "unauthenticated", "This key is not known.")

    done = tledger("types", "--python")

    assert (done.exit_code, done.stdout) == (4, "")
    assert "Log in with `tledger login`" in done.stderr


def test_the_service_may_be_named_behind_the_command(tledger, service, monkeypatch):
    offer(service, SHOWN)
    monkeypatch.setenv("TASKLEDGER_URL", "http://127.0.0.1:1")

    assert tledger("types", "--python", "--url", service.url).exit_code == 0
