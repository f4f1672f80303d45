"""Payloads of earlier releases in unit tests: the hash of a type's schema, and what its upgrades make."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from taskledger_sdk import upgrades
from taskledger_sdk.testing.running import as_sent, type_of


def schema_hash(handler: Callable[..., Any] | str) -> str:
    """The hash of a type's schema as it is now: a test that holds it fails when the payload changes."""
    return type_of(handler).schema_hash


def upgraded(handler: Callable[..., Any] | str, payload: Any, accepted_under: str) -> Any:
    """What a type makes of a payload that was accepted under an earlier schema: JSON that it takes now.

    Raises ValueError where the type has no upgrade from that hash; UpgradeFailed where the function raises, or makes
    what the type refuses; TypeError for a payload that is not JSON.
    """
    kind = type_of(handler)
    if accepted_under not in kind.upgrade:
        known = ", ".join(kind.upgrade) or "none"
        raise ValueError(f"{kind.name} has no upgrade from schema {accepted_under}; it has: {known}")
    sent = as_sent(payload)
    kind.load(sent, accepted_under)
    return json.loads(json.dumps(upgrades.upgraded(kind.upgrade, sent, accepted_under)))
