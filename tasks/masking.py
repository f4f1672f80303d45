"""What a payload looks like to whoever reads it: as it was sent, without its secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from marshmallow import fields

from taskledger_sdk.payload import PayloadCheck, PayloadSpec
from taskledger_sdk.payload.containers import Entries, Items, Object, Tagged
from taskledger_sdk.payload.rules import Mask
from taskledger_sdk.registry import find_type

MASKED = "[redacted]"
EVERYTHING = "*"
# Names under which HTTP headers, parameters and fields carry credentials, as parts of words: X-Api-Key, access_token …
SECRET_NAME = re.compile(
    r"auth|cookie|passw|passphrase|pwd|secret|token|credential|signature|session|"
    r"(?:^|[-_.])(?:api|access|private|client|account|subscription|functions)?[-_.]?key(?:$|[-_.])|(?:^|[-_.])sig(?:$|[-_.])",
    re.IGNORECASE,
)
# These match and are no secrets.
PLAIN_NAME = re.compile(
    r"idempotency-key|(?:www|proxy)-authenticate|author(?:s|_id|_name)?|sec-fetch-.*", re.IGNORECASE
)


def masked(type_name: str, payload: Any) -> Any:
    """The payload of a task as the API, webhooks and the dashboard show it; never as a handler gets it.

    What a type declares with rule(secret=…) is masked. In the payload of a remote type, or of one that is not there any
    more, everything is masked whose name is that of a secret. The payload itself is not changed.
    """
    kind = find_type(type_name)
    if kind is None or not isinstance(kind.payload, PayloadSpec):  # of a remote type: a JSON Schema names no secrets
        return mask_named(payload)
    mask = _mask_of_spec(kind.payload)
    return mask(payload) if mask else payload


def is_secret_name(name: str) -> bool:
    """Whether a header, parameter or field of this name holds a credential, as far as names tell."""
    return bool(SECRET_NAME.search(name)) and not PLAIN_NAME.fullmatch(name)


def mask_named(value: Any) -> Any:
    """Hide what stands under the name of a secret, at any depth; a mask for rule(secret=…)."""
    if isinstance(value, Mapping):
        return {
            name: MASKED if is_secret_name(name) and below is not None else mask_named(below)
            for name, below in value.items()
        }
    if isinstance(value, list):
        return [mask_named(each) for each in value]
    return value


def mask_url(value: Any) -> Any:
    """Hide the password of a URL and the values of its secret parameters; a mask for rule(secret=…)."""
    if value is None:
        return None
    if not isinstance(value, str):  # in a workflow's definition: parts that are joined, or a default
        written = _written(value)
        return value if mask_url(written) == written else MASKED
    try:
        parts = urlsplit(value)
    except ValueError:
        return MASKED
    pairs = [pair.partition("=") for pair in parts.query.split("&")]
    query = "&".join(
        name + equals + (MASKED if text and is_secret_name(name) else text) for name, equals, text in pairs
    )
    user, at, place = parts.netloc.rpartition("@")
    kept = f"{user.partition(':')[0]}:{MASKED}@{place}" if ":" in user else user + at + place
    return (
        value if (kept, query) == (parts.netloc, parts.query) else urlunsplit(parts._replace(netloc=kept, query=query))
    )


def _written(template: Any) -> str:
    """What stands in a template itself, one after the other; what it refers to is no secret yet."""
    match template:
        case str() | int() | float():
            return str(template)
        case list():
            return "".join(map(_written, template))
        case Mapping():
            return "".join(_written(below) for name, below in template.items() if name != "$from")
    return ""


def masked_keys(spec: PayloadCheck) -> frozenset[str]:
    """Top-level keys of payloads that hold secrets, in part or as a whole; EVERYTHING where keys do not tell."""
    if not isinstance(spec, PayloadSpec):
        named = spec.json_schema().get("properties", {})
        return frozenset(name for name, below in named.items() if is_secret_name(name) or _names_secrets(below))
    match spec.field:
        case Object(schema=schema):
            return frozenset(name for name, member in schema.fields.items() if _mask_of(member))
        case Tagged(members=members):
            return frozenset().union(*(masked_keys(PayloadSpec(member)) for member in members.values()))
    return frozenset({EVERYTHING}) if _mask_of(spec.field) else frozenset()


def _names_secrets(schema: Any) -> bool:
    """Whether a part of a JSON Schema declares a property of a secret's name, at any depth."""
    if isinstance(schema, list):
        return any(map(_names_secrets, schema))
    if not isinstance(schema, Mapping):
        return False
    declared = schema.get("properties")
    names = declared if isinstance(declared, Mapping) else {}
    return any(map(is_secret_name, names)) or any(map(_names_secrets, schema.values()))


@lru_cache(maxsize=256)
def _mask_of_spec(spec: PayloadSpec) -> Mask | None:
    return _mask_of(spec.field)


def _mask_of(field: fields.Field[Any]) -> Mask | None:
    """What hides the secrets in values of this field; None if it has none."""
    declared = field.metadata.get("secret")
    if declared:
        hide: Mask = declared if callable(declared) else lambda _: MASKED
        return lambda value: value if value is None else hide(value)
    match field:
        case Object():
            return _of_object(field)
        case Tagged():
            return _of_choice(field)
        case Items() if inner := _mask_of(field.inner):
            return lambda value: [inner(each) for each in value] if isinstance(value, list) else inner(value)
        case Entries() if field.value_field is not None and (below := _mask_of(field.value_field)):
            return lambda value: {k: below(v) for k, v in value.items()} if isinstance(value, dict) else value
    return None


def _of_object(field: Object) -> Mask | None:
    masks = {name: mask for name, member in field.schema.fields.items() if (mask := _mask_of(member))}
    if not masks:
        return None
    known = frozenset(field.schema.fields)

    def mask_object(value: Any) -> Any:
        if not isinstance(value, dict):
            return mask_named(value)
        shown = {name: masks[name](below) if name in masks else below for name, below in value.items() if name in known}
        # Left from an older version of the type: nobody says any more what they are.
        return shown | mask_named({name: below for name, below in value.items() if name not in known})

    return mask_object


def _of_choice(field: Tagged) -> Mask | None:
    masks = {tag: mask for tag, member in field.members.items() if (mask := _mask_of(member))}
    if not masks:
        return None

    def mask_choice(value: Any) -> Any:
        tag = value.get(field.tag) if isinstance(value, dict) else None
        mask = masks.get(tag) if isinstance(tag, str) else None
        return mask(value) if mask else value if tag in field.members else mask_named(value)

    return mask_choice
