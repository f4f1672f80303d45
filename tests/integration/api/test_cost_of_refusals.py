"""What refusing costs: whatever is sent, to whatever takes a body, the answer is quick and small."""

import gc
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.people import Person

SECONDS, BYTES = 1.0, 100_000  # of the request's own processor time; of the answer
BATCH_BYTES = 2_000_000  # up to a thousand items are answered one by one
MAX_BODY = 900_000
EXAMPLE_ID = "00000000-0000-7000-8000-0000000000aa"
LONG, MANY = "x" * 300_000, 60_000
PLAIN: dict[str, Any] = {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
HOSTILE: dict[str, Any] = {
    "many unknown names": {f"k{number}": 0 for number in range(MANY)},
    "long names": {f"{number}{'n' * 20_000}": 0 for number in range(30)},
    "names like fields": {f"paylod{number}": 0 for number in range(20_000)},
    "a long text": LONG,
    "many wrong items": [{"x": number} for number in range(30_000)],
    "many texts": ["*" * 8] * 50_000,
    "many lists": [[]] * 90_000,
    "deep": json.loads("[" * 63 + "]" * 63),
    "wide and deep": [json.loads('{"a":' * 40 + "1" + "}" * 40)] * 2_000,
    "long numbers": [10**4000] * 100,
    "many objects": {f"k{number}": {"a": [1]} for number in range(20_000)},
    "control characters": "\x01\u202e\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16") * 50_000,
}
ROUTES_WITHOUT_JSON = {"/api/v1/artifacts"}


def bodies(document: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Hostile bodies of a schema: each hostile value as the body, and at each of its fields, which are else right."""
    yield from list(HOSTILE.items())[:: 1 if depth == 0 else 4]
    schema = resolved(document, schema)
    known = schema.get("properties", {})
    plain = {key: PLAIN.get(str(resolved(document, below).get("type")), "x") for key, below in known.items()}
    needed = {key: value for key, value in plain.items() if key in schema.get("required", ())}
    for key, below in known.items():
        inner = resolved(document, below)
        wanted = list(HOSTILE.items())[len(key) % 12 :: 12]
        yield from ((f"{key}: {name}", {**needed, key: value}) for name, value in wanted)
        if depth == 0 and "properties" in inner:
            yield from ((f"{key}.{name}", {**needed, key: value}) for name, value in bodies(document, inner, 1))
        if depth == 0 and "items" in inner:
            for name, value in list(HOSTILE.items())[len(key) % 12 :: 12]:
                yield f"{key}[]: {name}", {**needed, key: [value] * 3}
    yield "all unknown beside all known", {**plain, **HOSTILE["names like fields"]}


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return resolved(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "oneOf" in schema:
        return resolved(document, schema["oneOf"][0])
    return schema


@pytest.fixture(autouse=True)
def only_ours():
    """What is measured is the request: not other threads, nor a look of the collector at what other tests have left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def document(application: Flask) -> dict[str, Any]:
    return dict(application.test_client().get("/openapi.json").json)


def taking_bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}) if isinstance(operation, dict) else {}
            if "application/json" in content and path not in ROUTES_WITHOUT_JSON:
                yield method, path, content["application/json"]["schema"]


def filled(path: str) -> str:
    parts = [EXAMPLE_ID if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


@pytest.mark.long
@pytest.mark.timeout(400)  # hundreds of bodies of a megabyte
def test_every_refusal_is_quick_and_small(application: Flask, document, admin: Person, settings):
    client, slow, tried = admin.client(application), [], set()

    for method, path, schema in taking_bodies(document):
        for name, body in bodies(document, schema):
            sent = json.dumps(body).encode()
            if len(sent) > MAX_BODY:
                continue
            begun = time.thread_time()
            answer = client.open(filled(path), method=method.upper(), data=sent, content_type="application/json")
            seconds = time.thread_time() - begun
            tried.add((method, path))
            most = BATCH_BYTES if path.endswith("/batch") else BYTES
            if (
                seconds > SECONDS
                or (answer.status_code >= 400 and len(answer.data) > most)
                or answer.status_code >= 500
            ):
                slow.append((method, path, name, answer.status_code, round(seconds, 2), len(answer.data)))

    assert slow == []
    assert len(tried) > 20


def test_sixty_thousand_unknown_names_cost_next_to_nothing(anonymous):
    body = json.dumps({"email": "a@example.com", "password": "three random words", **HOSTILE["many unknown names"]})

    begun = time.thread_time()
    answer = anonymous.post("/api/v1/auth/login", data=body, content_type="application/json")
    seconds = time.thread_time() - begun

    assert answer.status_code == 422
    assert (seconds < 0.5, len(answer.data) < 30_000) == (True, True), (seconds, len(answer.data))
    assert f"has {MANY - 100} more fields that are not known" in answer.json["errors"]["_schema"]


def test_what_is_left_out_of_an_answer_is_counted(client):
    body = {"type": "reverse_string", "payload": "x", "labels": {f"-{number}": "v" for number in range(5_000)}}

    answer = client.post("/api/v1/tasks", json=body)

    assert (answer.status_code, len(answer.data) < 10_000) == (422, True)


@pytest.mark.parametrize("query", [
    "&".join(f"k{number}=1" for number in range(20_000)), f"status={'x' * 300_000}", f"{'n' * 300_000}=1",
    "&".join(["status=wrong"] * 20_000), "&".join(f"label={number}" for number in range(20_000)),
    f"cursor={'A' * 300_000}",
    f"created_after={'9' * 300_000}", f"q={'%F0%9F%98%80' * 20_000}",
])  # fmt: skip
def test_a_hostile_query_is_refused_quickly_and_shortly(client, query):
    begun = time.thread_time()
    answer = client.get(f"/api/v1/tasks?{query}")

    assert (time.thread_time() - begun < SECONDS, len(answer.data) < BYTES, answer.status_code) == (True, True, 422)


@pytest.mark.parametrize("header", ["Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "Authorization"])
def test_a_hostile_header_is_answered_quickly_and_shortly(client, header):
    for value in ("x" * 300_000, '"a",' * 60_000, "0" * 300_000):
        begun = time.thread_time()
        answer = client.post("/api/v1/tasks/batch", json={"tasks": []}, headers={header: value})

        assert (time.thread_time() - begun < SECONDS, len(answer.data) < BYTES) == (True, True), header
        assert answer.status_code < 500


def test_a_batch_of_hostile_items_is_answered_in_bounds(client):
    items = [{"type": "reverse_string", **{f"k{number}": 0 for number in range(80)}} for _ in range(900)]
    body = json.dumps({"tasks": items})

    begun = time.thread_time()
    answer = client.post("/api/v1/tasks/batch", data=body, content_type="application/json")

    assert len(answer.json["results"]) == 900
    assert (time.thread_time() - begun < 3, len(answer.data) < 1_000_000) == (True, True), len(answer.data)
