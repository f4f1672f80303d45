"""`tledger` against a running service: what people and scripts do with it, from another machine."""

import json
import runpy
import subprocess
import sys
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

import pytest
from click.testing import CliRunner

from taskledger_sdk import Client
from taskledger_sdk.cli import cli
from tests.support.servers.databases import ROOT

NEVER = "2099-01-01T00:00"
SHOUT = {
    "name": "shout it",
    "definition": {
        "input": {"words": {"type": "string"}},
        "steps": {
            "reverse": {"type": "reverse_string", "payload": {"$from": "input.words"}},
            "shout": {"type": "uppercase_text", "payload": {"$from": "steps.reverse.result"}, "after": ["reverse"]},
        },
    },
}
SHORT = {
    "name": "short form",
    "definition": {
        "initialTask": {"type": "uppercase_text", "payload": "a"},
        "transitions": {"uppercase_text": {"type": "reverse_string", "payload": "b"}},
    },
}
MORNING = {
    "name": "morning",
    "cron": "30 7 * * 1-5",
    "time_zone": "Europe/Berlin",
    "task": {"type": "reverse_string", "payload": "good morning"},
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A machine on which nobody is logged in."""
    for name in ("TASKLEDGER_URL", "TASKLEDGER_API_KEY", "TASKLEDGER_PROFILE", "VAR_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(home):
    def invoke(*arguments, stdin=None):
        return CliRunner().invoke(cli, arguments, input=stdin)

    return invoke


@pytest.fixture
def tledger(call, stack):
    """The command line, logged in as the admin of the stack; what it prints. A failure is one of the test."""
    key = stack.http.headers["Authorization"].removeprefix("Bearer ")
    assert call("login", "--url", stack.api.url, "--key-stdin", stdin=key).exit_code == 0

    def run(*arguments, stdin=None):
        done = call(*arguments, stdin=stdin)
        assert done.exit_code == 0, done.output
        assert key not in done.output
        return done.stdout

    return run


def test_somebody_logs_in_with_a_password_and_works_with_the_key_that_was_made(call, stack):
    person = {"email": "ada@example.com", "password": "three random words", "name": "Ada"}
    assert stack.post("/auth/register", person).status_code == 201

    options = ("--url", stack.api.url, "--email", person["email"], "--password-stdin")
    logged_in = call("login", *options, stdin=person["password"])
    me = json.loads(call("whoami", "--json").stdout)
    done = call("tasks", "submit", "reverse_string", "hello world", "--wait", "--timeout", "30")
    not_hers = call("limits", "list")
    listed = call("keys", "list", "--email", person["email"], "--password-stdin", "--json", stdin=person["password"])

    assert logged_in.exit_code == 0, logged_in.output
    assert (me["email"], me["scopes"]) == (person["email"], ["tasks:read", "tasks:write"])
    assert (done.exit_code, done.stdout) == (0, "dlrow olleh\n")
    assert (not_hers.exit_code, not_hers.stdout) == (4, "")
    [key] = json.loads(listed.stdout)["items"]
    assert key["name"].startswith("tledger on ")


def test_a_task_is_submitted_waited_for_found_and_shown(tledger):
    task_id = tledger("tasks", "submit", "uppercase_text", "abc", "--label", "team:billing", "--name", "x").strip()

    assert tledger("tasks", "wait", task_id, "--timeout", "30") == "ABC\n"
    assert task_id in tledger("tasks", "list", "--label", "team:billing", "--status", "completed")
    [line] = tledger("tasks", "list", "--label", "team:billing", "--all", "--json").splitlines()
    shown = json.loads(tledger("tasks", "show", task_id, "--json"))
    assert json.loads(line) == shown
    page = tledger("tasks", "show", task_id)
    assert all(word in page for word in ("ABC", "team:billing", "History", "PROCESSING"))
    assert [each["outcome"] for each in json.loads(tledger("tasks", "attempts", task_id, "--json"))["items"]] == [
        "completed"
    ]


def test_payload_types_are_written_and_what_they_make_is_accepted(tledger, call, stack, home):
    options = ("types", "--python", "--out", "payloads.py")
    assert tledger(*options) == ""
    assert tledger(*options, "--check") == ""
    made = runpy.run_path(str(home / "payloads.py"))
    line = made["CreateInvoiceLinesItem"](
        description="Beans", quantity=Decimal("1.5"), unit_price=Decimal("18.90"), tax_percent=Decimal(7)
    )
    invoice = made["CreateInvoice"](
        customer_id="typed", date_from=date(2026, 1, 1), date_to=date(2026, 1, 31), lines=[line]
    )

    class Older(made["ReverseString"]):
        SCHEMA_HASH = "000000000000"

    with Client(stack.api.url, stack.http.headers["Authorization"].removeprefix("Bearer ")) as client:
        tasks = [client.submit(each) for each in (invoice, made["ReverseString"]("abc"), Older("def"))]
        results = [client.wait(each, timeout=60).result for each in tasks]

    assert "currency" not in tasks[0].payload
    assert (results[0]["currency"], results[0]["net"], results[1:]) == ("EUR", "28.35", ["cba", "fed"])
    (home / "payloads.py").write_text("")
    assert call(*options, "--check").exit_code == 1
    assert "send_email" in tledger("types", "--typescript")


def test_a_file_of_payloads_makes_one_task_for_each_line(tledger):
    done = tledger("tasks", "submit", "uppercase_text", "--each", "-", "--wait", "--json", stdin='"a"\n"b"\n\n"c"\n')

    assert [json.loads(line)["result"] for line in done.splitlines()] == ["A", "B", "C"]


def test_a_cancelled_task_can_be_replayed_with_another_payload(tledger, call):
    task_id = tledger("tasks", "submit", "reverse_string", "one", "--at", NEVER).strip()

    assert tledger("tasks", "cancel", task_id).startswith(f"{task_id} CANCELLED")
    assert call("tasks", "wait", task_id).exit_code == 5
    assert tledger("tasks", "replay", task_id, "--payload", "two") == f"{task_id} PENDING\n"
    assert tledger("tasks", "wait", task_id, "--timeout", "30") == "owt\n"


def test_a_dead_letter_is_found_by_its_cause_and_replayed_after_a_count(tledger, call):
    refused = '{"method": "GET", "url": "http://10.255.255.1/"}'
    task_id = tledger("tasks", "submit", "http_request", refused, "--max-retries", "0").strip()
    assert call("tasks", "wait", task_id, "--timeout", "30").exit_code == 5

    groups = json.loads(tledger("dead-letters", "groups", "--json"))["items"]
    [cause] = [group["fingerprint"] for group in groups if group["example_id"] == task_id]
    counted = json.loads(tledger("dead-letters", "replay", "--fingerprint", cause, "--dry-run", "--json"))
    unasked = call("dead-letters", "replay", "--fingerprint", cause)
    replayed = json.loads(tledger("dead-letters", "replay", "--fingerprint", cause, "--yes", "--json"))

    assert (counted["count"], replayed) == (1, {"count": 1, "token": None})
    assert unasked.exit_code == 2
    assert call("tasks", "wait", task_id, "--timeout", "30").exit_code == 5
    assert json.loads(tledger("tasks", "show", task_id, "--json"))["attempt"] == 2
    assert tledger("dead-letters", "purge", "--fingerprint", cause, "--dry-run") == "That match: 1\n"


def outcomes(printed: str) -> list[str]:
    return [json.loads(line)["outcome"] for line in printed.splitlines()]


def test_a_workflow_is_applied_again_and_again_and_run(tledger, call, home):
    (home / "workflows.json").write_text(json.dumps([SHOUT, SHORT]))
    apply = ("workflows", "apply", "workflows.json", "--json")

    assert outcomes(tledger(*apply)) == ["created"] * 2
    assert outcomes(tledger(*apply)) == ["unchanged"] * 2
    changed = json.dumps(SHOUT).replace("uppercase_text", "reverse_string")
    assert outcomes(tledger("workflows", "apply", "-", "--json", stdin=changed)) == ["changed"]
    shown = tledger("workflows", "show", "shout it", "--json")
    assert outcomes(tledger("workflows", "apply", "-", "--json", stdin=shown)) == ["unchanged"]
    assert outcomes(tledger(*apply)) == ["changed", "unchanged"]

    ended = json.loads(tledger("runs", "start", "shout it", '{"words": "abc"}', "--wait", "--timeout", "30", "--json"))
    assert ended["status"] == "COMPLETED"
    assert ended["id"] in tledger("runs", "list", "--workflow", "shout it")
    assert "finished" in tledger("why", ended["id"])
    refused = call("runs", "start", "shout it", '{"word": "abc"}')
    assert refused.exit_code == 1
    assert "input.word" in refused.stderr


def test_a_schedule_is_applied_paused_resumed_run_and_deleted_by_its_name(tledger, call):
    apply = ("schedules", "apply", "-", "--json")

    assert outcomes(tledger(*apply, stdin=json.dumps(MORNING))) == ["created"]
    assert outcomes(tledger(*apply, stdin=tledger("schedules", "show", "morning", "--json"))) == ["unchanged"]
    assert outcomes(tledger(*apply, stdin=json.dumps({**MORNING, "cron": "0 8 * * *"}))) == ["changed"]
    assert len(tledger("schedules", "next", "morning").splitlines()) == 10
    assert tledger("schedules", "pause", "morning") == "morning paused\n"
    assert json.loads(tledger("schedules", "show", "morning", "--json"))["enabled"] is False
    assert "morning enabled, next" in tledger("schedules", "resume", "morning")
    task_id = tledger("schedules", "run", "morning").strip()
    assert tledger("tasks", "wait", task_id, "--timeout", "30") == "gninrom doog\n"
    assert task_id in tledger("schedules", "slots", "morning")
    assert "deleted" in tledger("schedules", "delete", "morning")
    assert call("schedules", "show", "morning").exit_code == 1


def test_limits_pauses_and_keys_are_an_admins(tledger, call, stack):
    tledger("limits", "set", "type", "fibonacci_calc", "--rate", "100/60", "--reason", "a test")
    assert "100 in 60 s" in tledger("limits", "list")
    tledger("limits", "remove", "type", "fibonacci_calc")
    assert tledger("types", "pause", "fibonacci_calc", "--reason", "a test").startswith("fibonacci_calc is paused")
    task_id = tledger("tasks", "submit", "fibonacci_calc", "10").strip()
    why = json.loads(tledger("why", task_id, "--json"))
    assert (why["task_id"], "paused" in why["cause"]) == (task_id, True)
    assert tledger("types", "resume", "fibonacci_calc") == "fibonacci_calc goes on\n"
    assert tledger("tasks", "wait", task_id, "--timeout", "30") == "55\n"
    assert "tasks" in tledger("queues", "list")
    assert "fibonacci_calc" in tledger("types", "list")

    made = json.loads(tledger("keys", "create", "nightly", "--scope", "tasks:read", "--json"))
    assert "nightly" in tledger("keys", "list")
    assert call("login", "--url", stack.api.url, "--profile", "reader", "--key-stdin", stdin=made["key"]).exit_code == 0
    assert call("--profile", "reader", "tasks", "submit", "reverse_string", "x").exit_code == 4
    assert "revoked" in tledger("keys", "revoke", made["id"])
    assert tledger("logout", "--all").count("Logged out") == 2
    assert call("--url", "http://127.0.0.1:9", "tasks", "list").exit_code == 4


@contextmanager
def tailing(*arguments):
    command = [sys.executable, "-m", "taskledger_sdk.cli", "events", "tail", *arguments, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_events_go_on_where_they_were_when_the_service_comes_back(tledger, stack, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'sdk' / 'python'}")
    first = tledger("tasks", "submit", "reverse_string", "one").strip()
    tledger("tasks", "wait", first, "--timeout", "30")

    with tailing("--after", "0", "--type", "reverse_string", "--status", "completed") as process:
        while json.loads(process.stdout.readline())["data"]["task_id"] != first:
            pass
        stack.api.stop()
        assert "Trying again" in process.stderr.readline()
        stack.api.start().wait_until_ready()
        second = stack.submit("reverse_string", "two")
        event = json.loads(process.stdout.readline())

    assert (event["event"], event["data"]["task_id"]) == ("task.completed", second)
