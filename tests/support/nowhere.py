"""An application that reaches no server, for what can be known without one."""

from typing import Any

from app.config import load
from app.factory import create_app

NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": "amqp://127.0.0.1:1//"}


def openapi_document() -> dict[str, Any]:
    """As the service answers with it."""
    document: dict[str, Any] = create_app(load(NOWHERE)).test_client().get("/openapi.json").get_json()
    return document
