"""Task types as GET /task-types shows them, and the module of Python that is made of them."""

from collections.abc import Iterable
from typing import Any

from taskledger_sdk.payload_types import source

HASH = "0123456789ab"
TEXT = {"type": "string"}


def task_type(payload: Any, name: str = "acme.order", **more: Any) -> dict[str, Any]:
    return {"name": name, "schema_hash": HASH, "summary": "", "description": "", "payload": payload, **more}


def objects(properties: dict[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def module_of(*task_types: dict[str, Any]) -> dict[str, Any]:
    """The names of the module of Python."""
    names: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source(task_types, "python"), "generated.py", "exec"), names)
    return names
