"""Upgrades: what a task type makes of payloads that an earlier release has accepted, under another schema."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskledger_sdk.errors import UpgradeFailed

SCHEMA_HASH = re.compile("[0-9a-f]{12}")

Upgrade = Callable[[Any], Any]
"""From a payload as an earlier release accepted it to one of the schema as it is now; both are parsed JSON."""


def schema_hash_of(schema: Any) -> str:
    """Twelve hex digits that change when a JSON Schema does."""
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def upgraded(upgrade: Mapping[str, Upgrade], payload: Any, accepted_under: str | None) -> Any:
    """The payload as the schema is now, where there is an upgrade from the hash that it was accepted under.

    The payload itself stays as it is: the upgrade works on a copy. Raises UpgradeFailed for whatever it raises.
    """
    function = None if accepted_under is None else upgrade.get(accepted_under)
    if function is None:
        return payload
    try:
        return function(copy.deepcopy(payload))
    except Exception as error:
        said = f"the upgrade from schema {accepted_under} raised {type(error).__name__}: {error}"
        raise UpgradeFailed(said) from error


def upgrade_faults(upgrade: Any, schema_hash: Callable[[], str]) -> Iterator[str]:
    """What is wrong with the upgrades of a type, each with what to do; the hash is asked for only if there are any."""
    if not isinstance(upgrade, Mapping):
        yield f"upgrade={upgrade!r}; give a mapping from schema hashes to functions"
        return
    for known, function in upgrade.items():
        where = f"upgrade[{known!r}]"
        if not isinstance(known, str) or not SCHEMA_HASH.fullmatch(known):
            yield f"{where}: no schema hash; `tledger types show` says it of the release that runs: 12 hex digits"
        elif not callable(function) or inspect.iscoroutinefunction(function) or not _takes_one(function):
            yield f"{where} is no function of one payload; write def {_name(known)}(payload) -> …"
        elif known == schema_hash():
            yield f"{where}: this is the hash of the schema as it is now; give that of the release before"


def _name(schema_hash: str) -> str:
    """A name for the function that upgrades from a hash."""
    return f"from_{schema_hash}"


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # a function of C that does not tell
        return True
    return True
