"""Submissions: one, or one for each payload of a file."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from taskledger_sdk.cli.failures import Failed
from taskledger_sdk.cli.session import Session
from taskledger_sdk.http.errors import Refused
from taskledger_sdk.http.transport import Transport

MOST_ITEMS, MOST_BYTES = 500, 256 * 1024
MOST_NAMED = 50


def submit(api: Transport, body: dict[str, Any], *, key: str | None) -> dict[str, Any]:
    """Submit a task once, however often the connection breaks."""
    return api.post("/tasks", body, idempotency_key=key or uuid4().hex)


def submit_each(session: Session, body: dict[str, Any], payloads: list[Any], *, shows: bool) -> list[str]:
    """The ids of those that were accepted; `shows`: print each as it is accepted.

    Raises Failed when some were refused, after all others were submitted.
    """
    accepted: list[str] = []
    refused: list[str] = []
    for number, result in enumerate(_results(session.api, [{**body, "payload": each} for each in payloads]), 1):
        if "task" in result:
            accepted.append(result["task"]["id"])
        else:
            refused.append(f"payload {number}: {Refused(result['problem'], result['status'])}")
        if shows and session.out.as_json:
            session.out.line({**result, "index": number - 1})
        elif shows and "task" in result:
            session.out.text(result["task"]["id"])
    if refused:
        if not shows:
            for id_ in accepted:
                session.out.note(f"accepted: {id_}")
        if len(refused) > MOST_NAMED:
            refused = [*refused[:MOST_NAMED], f"… and {len(refused) - MOST_NAMED} more"]
        raise Failed(f"{len(payloads) - len(accepted)} of {len(payloads)} were refused:\n" + "\n".join(refused))
    return accepted


def parts_of(bodies: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The bodies in batches of a size that the service takes. Pure."""
    part: list[dict[str, Any]] = []
    size = 0
    for body in bodies:
        length = len(json.dumps(body))
        if part and (len(part) == MOST_ITEMS or size + length > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(body)
        size += length
    if part:
        yield part


def _results(api: Transport, bodies: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts_of(bodies):
        yield from api.post("/tasks/batch", {"tasks": part}, idempotency_key=uuid4().hex)["results"]
