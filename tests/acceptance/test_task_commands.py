"""`flask --app app tasks …`: what it prints, what it says on stderr, and how it exits, against a running service."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from app.commands.tasks import tasks
from tests.support.servers.databases import ROOT
from tests.support.servers.waiting import free_port

NEVER = "2099-01-01T00:00"


@pytest.fixture
def run(stack, monkeypatch):
    """Runs a command as the admin of the stack."""
    monkeypatch.setenv("TASKLEDGER_URL", stack.api.url)
    monkeypatch.setenv("TASKLEDGER_API_KEY", stack.http.headers["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("COLUMNS", "250")

    def invoke(*arguments, stdin=None):
        return CliRunner().invoke(tasks, arguments, input=stdin)

    return invoke


def test_it_submits_waits_and_prints_the_bare_result(run):
    done = run("submit", "reverse_string", "hello world", "--wait")

    assert (done.exit_code, done.stdout) == (0, "dlrow olleh\n")


def test_without_waiting_it_prints_the_id_for_the_next_command(run):
    task_id = run("submit", "uppercase_text", "abc", "--label", "team:billing", "--name", "shout").stdout.strip()
    waited = run("wait", task_id, "--json")
    shown = run("show", task_id, "--json")

    assert json.loads(waited.stdout)["result"] == "ABC"
    task = json.loads(shown.stdout)
    assert (task["labels"], task["name"]) == ({"team": "billing"}, "shout")
    assert [event["status"] for event in task["events"]] == ["PENDING", "PROCESSING", "COMPLETED"]


def test_payloads_come_from_a_file_or_from_stdin(run, tmp_path):
    (tmp_path / "payload.json").write_text('"from a file"')

    from_file = run("submit", "uppercase_text", f"@{tmp_path / 'payload.json'}", "--wait")
    from_stdin = run("submit", "fibonacci_calc", "-", "--wait", "--json", stdin="10")

    assert from_file.stdout == "FROM A FILE\n"
    assert json.loads(from_stdin.stdout)["result"] == 55


def test_a_file_of_payloads_makes_one_task_for_each_line(run):
    done = run("submit", "uppercase_text", "--each", "-", "--wait", "--json", stdin='"a"\n"b"\n\n"c"\n')

    assert [task["result"] for task in json.loads(done.stdout)] == ["A", "B", "C"]


def test_a_refused_line_is_named_and_the_others_are_submitted(run):
    done = run("submit", "uppercase_text", "--each", "-", stdin='"a"\n7\n')

    assert done.exit_code == 3
    assert len(done.stdout.splitlines()) == 1
    assert "payload 2: " in done.stderr


def test_a_list_shows_ids_and_outcomes_in_a_table(run):
    task_id = run("submit", "reverse_string", "listed", "--label", "shown:here").stdout.strip()
    run("wait", task_id)

    table = run("list", "--label", "shown:here", "--status", "completed").stdout
    as_json = json.loads(run("list", "--label", "shown:here", "--json").stdout)

    assert task_id in table
    assert "detsil" in table
    assert [task["id"] for task in as_json] == [task_id]


def test_a_page_shows_payload_history_and_outcome(run):
    task_id = run("submit", "reverse_string", "look [at] me").stdout.strip()
    run("wait", task_id)

    page = run("show", task_id).stdout

    assert all(word in page for word in ("look [at] me", "COMPLETED", "em ]ta[ kool", "History", "PROCESSING"))


def test_a_cancelled_task_is_not_completed_and_can_be_retried_with_another_payload(run):
    task_id = run("submit", "reverse_string", "one", "--at", NEVER).stdout.strip()

    cancelled = run("cancel", task_id)
    waited = run("wait", task_id)
    again = run("retry", task_id, "--payload", "two")

    assert cancelled.stdout.startswith(f"{task_id} CANCELLED")
    assert waited.exit_code == 1
    assert again.stdout == f"{task_id} PENDING\n"
    assert run("wait", task_id).stdout == "owt\n"


def test_waiting_gives_up_as_timeout_does(run):
    task_id = run("submit", "reverse_string", "later", "--at", NEVER).stdout.strip()

    waited = run("wait", task_id, "--timeout", "0.3")

    assert waited.exit_code == 124
    assert "SCHEDULED" in waited.stdout
    run("cancel", task_id)


def test_the_same_idempotency_key_submits_once(run):
    first, second = (run("submit", "reverse_string", "x", "--idempotency-key", "order-7").stdout for _ in range(2))

    assert first == second


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("submit", "no_such_type"), 3, "no_such_type"),
        (("submit", "fibonacci_calc", "ten"), 3, "payload"),
        (("submit", "fibonacci_calc", "{ten"), 2, "no valid JSON"),
        (("submit", "fibonacci_calc", "10", "--at", "soon"), 2, "no moment"),
        (("submit", "fibonacci_calc", "10", "--label", "billing"), 2, "not key:value"),
        (("show", "01a20187-e99f-7588-b4c3-6d36409e4538"), 3, "01a20187-e99f-7588-b4c3-6d36409e4538"),
        (("show", ""), 2, "not a valid UUID"),
        (("--api-key", "tl_wrong", "list"), 3, "TASKLEDGER_API_KEY"),
        (("--url", f"http://127.0.0.1:{free_port()}", "list"), 4, "does not answer"),
    ],
)
def test_what_goes_wrong_is_told_by_words_and_exit_status(run, arguments, status, said):
    done = run(*arguments)

    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr


def test_several_are_cancelled_even_when_one_of_them_is_unknown(run):
    task_id = run("submit", "reverse_string", "one", "--at", NEVER).stdout.strip()

    done = run("cancel", "01a20187-e99f-7588-b4c3-6d36409e4538", task_id)

    assert (done.exit_code, done.stdout.split()[:2]) == (3, [task_id, "CANCELLED"])


@pytest.mark.parametrize("command", [("flask", "--app", "app", "tasks"), ("app.commands.tasks",)])
def test_it_is_a_command_of_flask_and_one_that_needs_no_settings(stack, command):
    needed = {"flask": stack.environment, "app.commands.tasks": {}}[command[0]]
    key = stack.http.headers["Authorization"].removeprefix("Bearer ")
    environment = {**needed, "TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key}

    done = subprocess.run(
        [sys.executable, "-m", *command, "submit", "reverse_string", "ab", "--wait"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, "ba\n"), done.stderr
