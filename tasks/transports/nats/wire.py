"""Messages as they stand in a stream: kombu's virtual message, as JSON; and what is none, made into one. Pure."""

import base64
import json
from datetime import timedelta
from typing import Any

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """The message as it is published."""
    return json.dumps(message, default=str).encode()


def decode(data: bytes, *, queue: str, tag: str, deliveries: int) -> Message:
    """The message under a new delivery tag; bytes that no kombu wrote become a message with those bytes."""
    message = _parse(data) or _foreign(data)
    properties = message["properties"]
    properties["delivery_tag"] = tag
    info = properties.setdefault("delivery_info", {})
    info.setdefault("exchange", "")
    info.setdefault("routing_key", queue)
    info["redelivered"] = deliveries > 1
    if deliveries > 1:
        message["headers"]["x-delivery-count"] = deliveries - 1
    return message


def _parse(data: bytes) -> Message | None:
    try:
        message = json.loads(data)
    except ValueError:
        return None
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict) or "body" not in message:
        return None
    if not isinstance(message.get("headers"), dict):
        message["headers"] = {}
    return message


def _foreign(data: bytes) -> Message:
    return {
        "body": base64.b64encode(data).decode(),
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "headers": {},
        "properties": {"body_encoding": "base64", "delivery_info": {}, "priority": 0},
    }


def is_expired(message: Message, *, age: timedelta) -> bool:
    """Whether it is older than its property `expiration` says, in milliseconds."""
    try:
        return age > timedelta(milliseconds=float(message["properties"]["expiration"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return False


def priority_of(data: bytes) -> int:
    """The priority that a message was published with; 0 where it says none."""
    message = _parse(data)
    try:
        return int(message["properties"].get("priority") or 0) if message else 0
    except (TypeError, ValueError):
        return 0


def dead(data: bytes, *, queue: str, reason: str, deliveries: int) -> bytes:
    """The message for the dead letters: what RabbitMQ says in x-death, in the same words."""
    message = _parse(data) or _foreign(data)
    info = message["properties"].get("delivery_info") or {}
    death = {
        "reason": reason,
        "queue": queue,
        "count": 1,
        "exchange": info.get("exchange", ""),
        "routing-keys": [info.get("routing_key", queue)],
        "deliveries": deliveries,
    }
    message["headers"]["x-death"] = [death, *message["headers"].get("x-death", ())]
    return encode(message)
