"""What commands ask of the service, print and exit with."""

import json

import pytest

ID = "01a20187-e99f-7588-b4c3-6d36409e4538"
OTHER = "01a20187-e99f-7588-b4c3-6d36409e4539"


def task(status="COMPLETED", **fields):
    shown = {"id": ID, "type": "reverse_string", "status": status, "attempt": 1, "created_at": "2026-11-29T01:00:00Z"}
    return {**shown, "result": None, "error": None, "progress": None, "cancel_receipt": None, **fields}


def test_a_submission_is_sent_once_and_its_id_is_printed(tledger, service):
    service.answer("POST", "/tasks", task("PENDING"), status=201)

    done = tledger(
        *("tasks", "submit", "reverse_string", "hello world", "--priority", "high", "--label", "team=billing"),
        *("--time-limit", "9", "--at", "2030-01-01T00:00:00+00:00"),
        *("--queue", "bulk", "--ordering-key", "c7", "--concurrency-key", "crm"),
    )

    assert (done.exit_code, done.stdout) == (0, f"{ID}\n")
    [asked] = service.requests
    assert asked.headers["idempotency-key"]
    assert asked.body == {
        "type": "reverse_string",
        "payload": "hello world",
        "priority": "high",
        "queue": "bulk",
        "ordering_key": "c7",
        "concurrency_key": "crm",
        "labels": {"team": "billing"},
        "timeout": 9,
        "scheduled_at": "2030-01-01T00:00:00+00:00",
    }


def test_json_is_what_the_api_says(tledger, service):
    service.answer("GET", f"/tasks/{ID}", task(result="ü"))

    assert json.loads(tledger("tasks", "show", ID, "--json").stdout) == task(result="ü")


@pytest.mark.parametrize(
    ("status", "result", "exit_code", "said"),
    [
        ("COMPLETED", "two\nlines", 0, "two\nlines\n"),
        ("COMPLETED", {"a": 1}, 0, '{"a": 1}\n'),
        ("COMPLETED", None, 0, "null\n"),
        ("FAILED", None, 5, "FAILED"),
        ("CANCELLED", None, 5, "CANCELLED"),
    ],
)
def test_waiting_prints_the_bare_result_and_tells_by_its_exit_status(tledger, service, status, result, exit_code, said):
    service.answer("GET", f"/tasks/{ID}", task("PROCESSING"))
    service.answer("GET", f"/tasks/{ID}", task(status, result=result))

    done = tledger("tasks", "wait", ID)

    assert done.exit_code == exit_code
    assert said in done.stdout
    assert [asked.query.get("wait") for asked in service.requests] == [None, ["30.0"]]


def test_waiting_gives_up_as_timeout_does(tledger, service):
    service.answer("GET", f"/tasks/{ID}", task("PENDING"))

    done = tledger("tasks", "wait", ID, "--timeout", "0.1")

    assert done.exit_code == 124
    assert "PENDING" in done.stdout


def test_what_is_many_is_one_document_a_line(tledger, service):
    service.answer("POST", f"/tasks/{ID}/cancel", task("CANCELLED"))
    service.answer("POST", f"/tasks/{OTHER}/cancel", task("CANCELLED", id=OTHER))

    done = tledger("tasks", "cancel", ID, OTHER, "--json")

    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [ID, OTHER]


def test_one_that_is_refused_does_not_keep_the_others_back(tledger, service):
    service.refuse("POST", f"/tasks/{ID}/retry", 409, "wrong_status", "It is COMPLETED.")
    service.answer("POST", f"/tasks/{OTHER}/retry", task("PENDING", id=OTHER))

    done = tledger("tasks", "retry", ID, OTHER, "--payload", "again")

    assert (done.exit_code, done.stdout) == (1, f"{OTHER} PENDING\n")
    assert f"{ID}: It is COMPLETED." in done.stderr
    assert service.requests[1].body == {"payload": "again"}


def test_a_list_is_a_page_or_as_much_as_is_wanted(tledger, service):
    service.answer("GET", "/tasks", {"items": [task()] * 200, "next": "c1"})
    service.answer("GET", "/tasks", {"items": [task()] * 50, "next": "c2"})

    done = tledger("tasks", "list", "--limit", "250", "--status", "completed", "--json")

    page = json.loads(done.stdout)
    assert (len(page["items"]), page["next"]) == (250, "c2")
    assert [asked.query["limit"] for asked in service.requests] == [["200"], ["50"]]
    assert service.requests[1].query["cursor"] == ["c1"]


def test_all_of_a_list_are_lines(tledger, service):
    service.answer("GET", "/tasks", {"items": [task(), task()], "next": "c1"})
    service.answer("GET", "/tasks", {"items": [task()], "next": None})

    assert len([json.loads(line) for line in tledger("tasks", "list", "--all", "--json").stdout.splitlines()]) == 3


def test_a_table_tells_how_to_go_on(tledger, service):
    service.answer("GET", "/tasks", {"items": [task(result="done")], "next": "c1"})

    done = tledger("tasks", "list", "--limit", "1")

    heading, row = done.stdout.splitlines()
    assert heading.split() == ["id", "type", "status", "attempt", "created", "result", "or", "error"]
    assert row.startswith(ID)
    assert row.endswith("done")
    assert "--cursor c1" in done.stderr


def test_payloads_of_a_file_go_together_and_refusals_are_named(tledger, service):
    refused = {"index": 1, "status": 422, "problem": {"status": 422, "detail": "payload must be a number."}}
    accepted = {"index": 0, "status": 201, "task": task("PENDING")}
    service.answer("POST", "/tasks/batch", {"results": [accepted, refused], "accepted": 1, "refused": 1})

    done = tledger("tasks", "submit", "fibonacci_calc", "--each", "-", stdin='1\n"x"\n')

    assert (done.exit_code, done.stdout) == (1, f"{ID}\n")
    assert "1 of 2 were refused:\npayload 2: payload must be a number." in done.stderr
    assert [item["payload"] for item in service.requests[0].body["tasks"]] == [1, "x"]


def test_a_line_of_a_file_ends_where_json_lines_do(tledger, service):
    results = [{"index": 0, "status": 201, "task": task("PENDING")}]
    service.answer("POST", "/tasks/batch", {"results": results, "accepted": 1, "refused": 0})

    done = tledger("tasks", "submit", "reverse_string", "--each", "-", stdin='"a\u2028b\u0085c"\r\n')

    assert (done.exit_code, done.stderr) == (0, "")
    assert [item["payload"] for item in service.requests[0].body["tasks"]] == ["a\u2028b\u0085c"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("tasks", "submit", "x", r'"\ud800"'),
        ("tasks", "submit", "x", "1e999"),
        ("tasks", "submit", "x", "1", "--name", "\udcff"),
        ("tasks", "submit", "x", "1", "--idempotency-key", "schlüssel"),
        ("tasks", "list", "--text", "\udcff"),
    ],
)
def test_what_cannot_be_sent_is_wrong_usage_and_no_traceback(tledger, service, arguments):
    done = tledger(*arguments)

    assert (done.exit_code, service.requests) == (2, [])
    assert "Error: This cannot be sent: " in done.stderr


@pytest.mark.parametrize(
    ("retries", "shown"),
    [(3, "3; after at most 2.0 s, then 2 times as long each, up to 10 min 00 s"), (0, "none")],
)
def test_a_type_is_shown_with_its_pauses(tledger, service, retries, shown):
    limits = {"timeout_seconds": 60, "longest_timeout_seconds": 600, "grace_seconds": 10}
    retry = {"max_retries": retries, "base_seconds": 2.0, "factor": 2.0, "cap_seconds": 600.0}
    said = {"name": "x", "summary": "", "queue": "tasks", "limits": limits, "retry": retry, "compensable": False}
    service.answer(
        "GET",
        "/task-types/x",
        {**said, "schema_hash": "0", "reaches_outside": False, "payload": {}, "examples": []},
    )

    lines = tledger("types", "show", "x").stdout.splitlines()

    assert f"retries             {shown}" in lines


@pytest.mark.parametrize(("allowed", "shown"), [(None, None), ([], "none at all"), (["a", "b"], "a, b")])
def test_who_may_use_nothing_is_told_so(tledger, service, allowed, shown):
    account = {"email": "a@b.c", "name": "Ada", "role": "user", "scopes": ["tasks:read"], "quotas": {}}
    service.answer("GET", "/auth/me", {**account, "allowed_types": allowed, "allowed_queues": allowed})

    lines = dict(line.split("  ", 1) for line in tledger("whoami").stdout.splitlines())

    assert [lines.get(name, "").strip() or None for name in ("only types", "only queues")] == [shown, shown]


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "advice"),
    [
        (401, "unauthenticated", 4, "tledger login"),
        (403, "forbidden", 4, "tledger whoami"),
        (404, "not_found", 1, ""),
        (422, "payload_refused", 1, "tledger types show TYPE"),
        (429, "quota_reached", 1, "quota"),
        (500, "internal_error", 3, "report it"),
    ],
)
def test_a_problem_is_told_with_its_fields_and_what_to_do(tledger, service, status, code, exit_code, advice):
    errors = {"payload": {"language": ["must be one of: en, de"], "top": ["is missing"]}}
    more = {"errors": errors, "headers": {"Retry_After": "99"}}
    service.refuse("POST", "/tasks", status, code, "payload.language must be one of: en, de.", **more)

    done = tledger("tasks", "submit", "count_words", "{}")

    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert "Error: payload.language must be one of: en, de.\n  payload.top: is missing\n" in done.stderr
    assert advice in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("tasks", "submit", "x", "{broken"),
        ("tasks", "submit", "x", "1", "--at", "soon"),
        ("tasks", "submit", "x", "1", "--each", "-"),
        ("tasks", "submit", "x", "1", "--timeout", "9"),
        ("runs", "start", "w", "--timeout", "9"),
        ("repairs", "start", "--type", "x", "--timeout", "9"),
        ("tasks", "show", "no-id"),
        ("tasks", "list", "--label", "team"),
        ("runs", "start", "w", "[1]"),
        ("limits", "set", "type", "x", "--rate", "fast"),
        ("limits", "set", "type", "x", "--reason", "quiet"),
        ("schedules", "next"),
        ("workflows", "apply", "missing.json"),
        ("dead-letters", "purge", "--since", "then"),
        ("keys", "list", "--password-stdin"),
        ("login", "--key-stdin", "--email", "a@b.c"),
    ],
)
def test_wrong_usage_asks_nothing_of_the_service(tledger, service, arguments):
    done = tledger(*arguments)

    assert (done.exit_code, service.requests) == (2, [])


def test_dead_letters_are_counted_before_they_are_replayed(tledger, service):
    service.answer("POST", "/dead-letters/replay", {"count": 3, "token": "t"})
    service.answer("POST", "/dead-letters/replay", {"count": 3, "token": None})

    asked = tledger("dead-letters", "replay", "--type", "x")
    counted = tledger("dead-letters", "replay", "--type", "x", "--dry-run")

    assert (asked.exit_code, counted.exit_code) == (2, 0)
    assert "--yes" in asked.stderr
    assert "3" in counted.stdout
    assert [each.body for each in service.requests] == [{"filter": {"type": "x"}, "dry_run": True}] * 2


def test_dead_letters_are_replayed_with_the_token_of_their_count(tledger, service):
    service.answer("POST", "/dead-letters/replay", {"count": 3, "token": "t"})
    service.answer("POST", "/dead-letters/replay", {"count": 3, "token": None})

    done = tledger("dead-letters", "replay", "--yes", "--json")

    assert json.loads(done.stdout) == {"count": 3, "token": None}
    assert [each.body for each in service.requests] == [{"filter": {}, "dry_run": True}, {"token": "t"}]


def test_why_asks_for_a_task_then_a_run_then_a_schedule(tledger, service):
    answer = {"cause": "not_due", "summary": "Not yet.", "evidence": {"next_at": "2030-01-01T00:00:00Z", "n": None}}
    service.answer("GET", f"/schedules/{ID}/why", {**answer, "next_at": "2030-01-01T00:00:00Z", "fix": "Nothing."})

    done = tledger("why", ID)

    assert [asked.path.split("/")[1] for asked in service.requests] == ["tasks", "runs", "schedules"]
    assert done.stdout == "not_due: Not yet.\n  next at  2030-01-01 00:00:00 UTC\nTo do: Nothing.\n"


def test_why_takes_the_name_of_a_schedule(tledger, service):
    service.answer(
        "GET",
        "/schedules/nightly/why",
        {"cause": "not_due", "summary": "Not yet.", "evidence": {}, "next_at": None, "fix": "Nothing."},
    )

    assert tledger("why", "nightly").stdout == "not_due: Not yet.\nTo do: Nothing.\n"
    assert "There is no schedule weekly" in tledger("why", "weekly").stderr


def test_why_of_what_is_not_there_says_so(tledger, service):
    done = tledger("why", ID)

    assert done.exit_code == 1
    assert ID in done.stderr


def test_events_are_lines_with_the_number_to_go_on_after(tledger, service):
    data = {
        "task_id": ID,
        "type": "x",
        "status": "COMPLETED",
        "previous_status": "PROCESSING",
        "at": "2026-11-29T01:00:00Z",
    }
    text = f"retry: 1\n\nid: 7\nevent: task.completed\ndata: {json.dumps(data)}\n\n"
    service.answer("GET", "/events/stream", text.encode(), Content_Type="text/event-stream")

    as_json = tledger("events", "tail", "--after", "6", "--count", "1", "--status", "completed", "--json")
    as_text = tledger("events", "tail", "--count", "1")

    assert json.loads(as_json.stdout) == {"id": "7", "event": "task.completed", "data": data}
    assert as_text.stdout.split() == ["7", "2026-11-29", "01:00:00", "UTC", "COMPLETED", ID, "x", "(was", "PROCESSING)"]
    assert service.requests[0].headers["last-event-id"] == "6"
    assert service.requests[0].query == {"status": ["COMPLETED"]}


def test_a_limit_is_put_in_its_place(tledger, service):
    limit = {"kind": "key", "name": "a/b", "max_running": 2, "rate": None, "max_hints": None, "weight": None}
    service.answer("PUT", "/limits/key/a/b", {**limit, "changed_at": "2026-11-29T01:00:00Z", "reason": None})

    done = tledger("limits", "set", "key", "a/b", "--max-running", "2", "--rate", "100/60", "--burst", "5", "--shared")

    assert done.exit_code == 0, done.stderr
    rate = {"count": 100, "seconds": 60, "burst": 5}
    assert service.requests[0].body == {"max_running": 2, "rate": rate, "shared": True}


def test_a_key_is_printed_alone_so_that_a_script_can_keep_it(tledger, service):
    service.answer("POST", "/api-keys", {"id": ID, "key": "tl_new"}, status=201)

    done = tledger("keys", "create", "nightly", "--expires-at", "2030-01-01T00:00:00+00:00")

    assert done.stdout == "tl_new\n"
    assert service.requests[0].body == {
        "name": "nightly",
        "scopes": ["tasks:read", "tasks:write"],
        "expires_at": "2030-01-01T00:00:00+00:00",
    }
