"""/workflows and /runs over HTTP."""

from xml.etree import ElementTree

import pytest

from tests.support.people import make_person
from tests.support.runs import end

WORKFLOWS, RUNS = "/api/v1/workflows", "/api/v1/runs"
REVERSE = {"type": "reverse_string", "payload": {"$from": "input.words"}}
SHOUT = {"type": "uppercase_text", "payload": {"$from": "steps.reverse.result"}, "after": ["reverse"]}
DEFINITION = {"input": {"words": {"type": "string"}}, "steps": {"reverse": REVERSE, "shout": SHOUT}}


def make(client, definition=DEFINITION, name="shout"):
    answer = client.post(WORKFLOWS, json={"name": name, "definition": definition})
    assert answer.status_code == 201, answer.text
    return answer.json


def start(client, name="shout", **fields):
    return client.post(f"{WORKFLOWS}/{name}/runs", json={"input": {"words": "abc"}, **fields})


def test_a_workflow_is_stored_and_run(client):
    made = make(client)
    answer = start(client)

    assert (made["version"], made["active"], list(made["definition"]["steps"])) == (1, True, ["reverse", "shout"])
    assert (answer.status_code, answer.json["status"], answer.json["version"]) == (201, "RUNNING", 1)
    assert answer.headers["Location"] == f"{RUNS}/{answer.json['id']}"
    assert answer.json["progress"] == {"percent": 0, "total": 2, "done": 0, "running": 1, "failed": 0}


def test_steps_without_a_type_of_their_own_are_stored_and_shown_without_their_secrets(client):
    make(client)
    each = {"for_each": [{"word": "a", "password": "hunter2"}], "type": "reverse_string", "payload": "x"}
    steps = {
        "each": each,
        "approved": {"wait_for": "approved", "timeout": 60},
        "pause": {"sleep": 5, "after": ["approved"]},
        "below": {"workflow": "shout", "input": {"words": "abc", "password": "hunter2"}, "after": ["pause"]},
    }

    made = make(client, {"steps": steps}, name="waits")

    shown = {**steps, "below": {**steps["below"], "input": {"words": "abc", "password": "[redacted]"}}}
    shown["each"] = {**each, "for_each": [{"word": "a", "password": "[redacted]"}]}
    assert made["definition"]["steps"] == shown
    assert client.get(f"{WORKFLOWS}/waits").json["definition"]["steps"] == shown
    assert client.get(WORKFLOWS).status_code == 200


def test_a_run_tells_of_each_step_how_far_it_is_and_how_long_it_took(client, session):
    make(client)
    run = start(client).json
    end(session, run["id"], "reverse", "cba")

    told = client.get(f"{RUNS}/{run['id']}").json

    reverse, shout = told["steps"]
    assert told["progress"]["percent"] == 50
    assert (reverse["state"], reverse["task_status"], reverse["attempt"]) == ("COMPLETED", "COMPLETED", 1)
    assert (shout["state"], shout["task_status"], shout["after"]) == ("STARTED", "PENDING", ["reverse"])
    assert reverse["seconds"] is not None
    assert told["seconds"] >= 0


def test_the_linear_form_is_the_same_as_steps(client):
    made = make(
        client,
        {
            "initialTask": {"type": "reverse_string", "payload": "order"},
            "transitions": {
                "reverse_string": {"type": "uppercase_text", "payload": {"$from": "steps.reverse_string.result"}}
            },
        },
        name="Order Processing Workflow",
    )

    assert made["definition"]["steps"]["uppercase_text"]["after"] == ["reverse_string"]
    assert client.get(made["links"]["self"]).json["name"] == "Order Processing Workflow"
    assert client.post(made["links"]["runs"]).status_code == 201


BAD = {
    "a cycle": (
        {"steps": {"a": {**REVERSE, "after": ["b"]}, "b": {**REVERSE, "after": ["a"]}}},
        "steps.b.after closes",
    ),
    "a missing step": ({"steps": {"a": {**REVERSE, "after": ["x"]}}}, "steps.a.after there is no step"),
    "1,001 steps": ({"steps": {f"s{n}": REVERSE for n in range(1001)}}, "steps has 1001 steps"),
    "a missing reference": (
        {"steps": {"a": {"type": "reverse_string", "payload": {"$from": "steps.b.result"}}}},
        "steps.a.payload steps.b.result: there is no step",
    ),
    "an undeclared input": ({"input": {}, "steps": {"a": REVERSE}}, "steps.a.payload input.words: no such input"),
    "an unknown type": ({"steps": {"a": {"type": "reverse", "payload": ""}}}, "steps.a.type no task type"),
    "a payload": ({"steps": {"a": {"type": "reverse_string", "payload": 5}}}, "steps.a.payload must be a string"),
    "no steps": ({"steps": {}}, "steps must be an object with at least one step"),
    "no object": ([], "definition must be an object"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_definition_that_cannot_run_is_refused_with_its_place(client, what):
    definition, place = BAD[what]

    answer = client.post(WORKFLOWS, json={"name": "bad", "definition": definition})

    assert (answer.status_code, answer.json["code"]) == (422, "definition_refused")
    assert place in answer.json["detail"]


def test_a_deep_template_is_refused_with_its_place(client):
    deep = "x"
    for _ in range(40):
        deep = [deep]

    answer = client.post(WORKFLOWS, json={"name": "deep", "definition": {"steps": {"a": {**REVERSE, "payload": deep}}}})

    assert answer.status_code == 422
    assert "definition.steps.a.payload.0.0" in answer.json["detail"]
    assert "nested too deeply" in answer.json["detail"]


def test_another_definition_is_another_version_and_the_same_is_none(client):
    make(client)
    same = client.patch(f"{WORKFLOWS}/shout", json={"definition": DEFINITION}).json
    changed = client.patch(f"{WORKFLOWS}/shout", json={"definition": {"steps": {"reverse": REVERSE}}}).json

    assert (same["version"], changed["version"]) == (1, 2)
    assert [each["version"] for each in client.get(f"{WORKFLOWS}/shout/versions").json["items"]] == [2, 1]
    assert list(client.get(f"{WORKFLOWS}/shout?version=1").json["definition"]["steps"]) == ["reverse", "shout"]
    assert client.get(f"{WORKFLOWS}/shout?version=9").status_code == 404


def test_a_workflow_is_deleted_when_no_run_is_under_way_and_its_runs_stay(client):
    make(client)
    run = start(client).json

    while_running = client.delete(f"{WORKFLOWS}/shout").status_code
    client.post(f"{RUNS}/{run['id']}/cancel")
    deleted = client.delete(f"{WORKFLOWS}/shout").status_code

    assert (while_running, deleted) == (409, 204)
    assert client.get(f"{RUNS}/{run['id']}").json["status"] == "CANCELLED"
    assert client.get(f"{WORKFLOWS}/shout").status_code == 404


def test_an_inactive_workflow_starts_nothing(client):
    make(client)

    client.post(f"{WORKFLOWS}/shout/deactivate")
    refused = start(client).status_code
    client.post(f"{WORKFLOWS}/shout/activate")

    assert (refused, start(client).status_code) == (409, 201)


@pytest.mark.parametrize(
    ("given", "place"),
    [({}, "input.words is missing"), ({"words": 5}, "input.words must be a string"), ({"word": ""}, "not a known")],
)
def test_an_input_that_does_not_fit_is_refused(client, given, place):
    make(client)

    answer = start(client, input=given)

    assert (answer.status_code, answer.json["code"]) == (422, "input_refused")
    assert place in answer.json["detail"]


def test_the_same_idempotency_key_starts_one_run(client):
    make(client)
    key = {"Idempotency-Key": "k-1"}
    body = {"input": {"words": "abc"}}

    first = client.post(f"{WORKFLOWS}/shout/runs", json=body, headers=key)
    again = client.post(f"{WORKFLOWS}/shout/runs", json=body, headers=key)
    other = client.post(f"{WORKFLOWS}/shout/runs", json={"input": {"words": "x"}}, headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert first.json["id"] == again.json["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(client.get(RUNS).json["items"]) == 1


def test_an_idempotency_key_leads_to_its_run_when_the_workflow_has_gone(client, session):
    make(client)
    key = {"Idempotency-Key": "k-1"}
    body = {"input": {"words": "abc"}}
    first = client.post(f"{WORKFLOWS}/shout/runs", json=body, headers=key)
    end(session, first.json["id"], "reverse", "cba")
    end(session, first.json["id"], "shout", "CBA")
    client.delete(f"{WORKFLOWS}/shout")

    again = client.post(f"{WORKFLOWS}/shout/runs", json=body, headers=key)
    other = client.post(f"{WORKFLOWS}/shout/runs", json=body, headers={"Idempotency-Key": "k-2"})

    assert (again.status_code, again.json["id"], other.status_code) == (200, first.json["id"], 404)


def test_runs_are_listed_by_workflow_status_and_label(client):
    labelled = {**DEFINITION, "labels": {"words": {"$from": "input.words"}}}
    make(client, labelled)
    make(client, name="other")
    run = start(client, labels={"team": "a"}).json
    start(client, "other")

    def ids(query):
        return [each["id"] for each in client.get(f"{RUNS}?{query}").json["items"]]

    assert run["labels"] == {"team": "a", "words": "abc"}
    assert ids("workflow=shout") == ids("label=words:abc&label=team:a") == [run["id"]]
    assert len(ids("status=RUNNING,PAUSED")) == 2
    assert ids("status=FAILED") == []
    assert len(client.get(f"{WORKFLOWS}/shout/runs").json["items"]) == 1
    assert client.get("/api/v1/tasks?label=words:abc").json["items"][0]["name"] == "shout: reverse"


def test_pages_of_runs_follow_on_one_another(client):
    make(client)
    ids = [start(client).json["id"] for _ in range(3)]

    first = client.get(f"{RUNS}?limit=2").json
    second = client.get(f"{RUNS}?limit=2&cursor={first['next']}").json

    assert [each["id"] for each in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None


def test_workflows_and_runs_of_others_are_not_there(client, application, database_url):
    make(client)
    run = start(client).json
    other = make_person(database_url).client(application)

    assert other.get(f"{WORKFLOWS}/shout").status_code == 404
    assert other.get(f"{RUNS}/{run['id']}").status_code == 404
    assert other.get(f"{RUNS}/{run['id']}/why").status_code == 404
    assert other.post(f"{RUNS}/{run['id']}/cancel").status_code == 404
    assert "shout" not in [each["name"] for each in other.get(WORKFLOWS).json["items"]]
    assert other.get(RUNS).json["items"] == []


def test_the_services_own_workflows_are_everybodys_to_run_and_nobodys_to_change(client, application, database_url):
    other = make_person(database_url).client(application)

    names = [each["name"] for each in other.get(WORKFLOWS).json["items"]]

    assert {"invoice", "invoice_email"} <= set(names)
    assert client.patch(f"{WORKFLOWS}/invoice", json={"description": "x"}).status_code == 409
    assert client.delete(f"{WORKFLOWS}/invoice").status_code == 409
    assert other.post(f"{WORKFLOWS}/invoice/deactivate").status_code == 409
    assert client.post(f"{WORKFLOWS}/invoice/deactivate").status_code == 200
    assert client.post(WORKFLOWS, json={"name": "invoice", "definition": DEFINITION}).status_code == 409


def test_secrets_in_payloads_and_inputs_are_not_shown(client):
    call = {"url": "https://example.org", "headers": {"Authorization": "Bearer s3cret"}}
    made = make(client, {"steps": {"call": {"type": "http_request", "payload": call}}}, name="call")
    run = client.post(f"{WORKFLOWS}/call/runs", json={"input": {"api_key": "s3cret", "n": 1}})

    assert "s3cret" not in str(made)
    assert "s3cret" not in run.text
    assert "s3cret" not in client.get(f"{RUNS}/{run.json['id']}").text
    assert run.json["input"] == {"api_key": "[redacted]", "n": 1}
    sent_back = client.patch(f"{WORKFLOWS}/call", json={"definition": made["definition"]})
    assert (sent_back.status_code, "[redacted]" in sent_back.text) == (422, False)


def test_the_picture_of_a_run_has_places_states_and_a_title(client, session):
    make(client)
    run = start(client).json
    end(session, run["id"], "reverse", "cba")

    graph = client.get(f"{RUNS}/{run['id']}/graph").json
    answer = client.get(f"{RUNS}/{run['id']}/graph.svg")
    drawn = ElementTree.fromstring(answer.data)

    assert [(node["key"], node["state"]) for node in graph["nodes"]] == [("reverse", "COMPLETED"), ("shout", "STARTED")]
    assert graph["edges"] == [{"from": "reverse", "to": "shout"}]
    assert graph["nodes"][0]["x"] < graph["nodes"][1]["x"]
    assert (answer.mimetype, drawn.find("{http://www.w3.org/2000/svg}title").text) == (
        "image/svg+xml",
        f"Run {run['id']} of workflow shout: RUNNING, 50 %",
    )
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert client.get(f"{WORKFLOWS}/shout/graph.svg").status_code == 200


def test_a_run_tells_which_step_keeps_it(client):
    make(client)
    run = start(client).json

    answer = client.get(f"{RUNS}/{run['id']}/why")

    assert answer.status_code == 200
    assert (answer.json["cause"], answer.json["evidence"]["blocked"]) == ("blocked_by_step", {"shout": ["reverse"]})
    assert set(answer.json) == {"cause", "summary", "evidence", "next_at", "fix"}


def test_the_history_of_a_run_says_why(client):
    make(client)
    run = start(client).json
    client.post(f"{RUNS}/{run['id']}/pause")
    client.post(f"{RUNS}/{run['id']}/cancel")

    events = client.get(f"{RUNS}/{run['id']}/events").json["items"]

    assert [(each["previous_status"], each["status"], each["reason"]) for each in events] == [
        (None, "RUNNING", None),
        ("RUNNING", "PAUSED", "paused"),
        ("PAUSED", "CANCELLED", "cancelled"),
    ]


def test_what_does_not_exist_is_not_found(client):
    invoices = "/api/v1/invoices"
    for path in (f"{invoices}/%00", f"{invoices}/status/%00", f"{invoices}/%00/pdf", f"{WORKFLOWS}/a%00"):
        assert client.get(path).status_code == 404
    for path in (f"{WORKFLOWS}/none", f"{RUNS}/none", f"{RUNS}/018f3c5e-7d2a-7000-8000-0123456789ab"):
        assert client.get(path).status_code == 404
