"""Remote types and their workers, for tests in this process."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from flask.testing import FlaskClient

from app.services.remote.known import TYPES
from tests.support.people import Person, make_key

SCHEMA = {
    "type": "object",
    "required": ["url"],
    "additionalProperties": False,
    "properties": {"url": {"type": "string", "maxLength": 200}, "width": {"type": "integer", "minimum": 1}},
}
PAYLOAD = {"url": "https://example.com/a.png"}


def declare(client: FlaskClient, name: str = "resize", **options: Any) -> dict[str, Any]:
    """Declare a remote type as an admin."""
    TYPES.forget()
    answer = client.post("/api/v1/task-types", json={"name": name, "schema": SCHEMA, **options})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json
    return made


def submit(client: FlaskClient, payload: Any = PAYLOAD, *, type_name: str = "resize", **fields: Any) -> dict[str, Any]:
    """Submit a task of a remote type."""
    answer = client.post("/api/v1/tasks", json={"type": type_name, "payload": payload, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json
    return made


class RemoteWorker:
    """A worker that claims and tells by requests of a test."""

    def __init__(self, client: FlaskClient, *, name: str = "worker-1") -> None:
        self.client, self.name = client, name

    def claim(self, *types: str, **options: Any) -> list[dict[str, Any]]:
        """The items of a claim."""
        answer = self.client.post("/api/v1/work/claim", json=self.claim_body(*types, **options))
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json["items"]
        return items

    def claim_body(self, *types: str, **options: Any) -> dict[str, Any]:
        return {"types": list(types) or ["resize"], "worker": self.name, "claim": str(uuid4()), "wait": 5, **options}

    def tell(self, item: Mapping[str, Any], what: str, **fields: Any) -> Any:
        """Send something told of an attempt."""
        return self.client.post(f"/api/v1/work/{item['task_id']}/{what}", json={"lease": item["lease"], **fields})


def work_key(database_url: str, person: Person, *types: str) -> Person:
    """The same person with a key that works on these types, and does nothing else."""
    return make_key(database_url, person, scopes=("work",), allowed_types=list(types))


Make = Callable[..., RemoteWorker]
