"""Validators of the library jsonschema_rs; imported where a JSON Schema is used."""

from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

import jsonschema_rs

from taskledger_sdk.payload.spec import clean

PATTERNS = jsonschema_rs.RegexOptions(size_limit=256 << 10, dfa_size_limit=1 << 20)

Validator: TypeAlias = jsonschema_rs.Draft202012Validator


def validator_of(schema: Mapping[str, Any], *, mask: str | None = None) -> Validator:
    """A compiled schema; with `mask`, its messages have that in the place of values.

    Raises the errors of jsonschema_rs, which are ValueErrors, for a schema that cannot be used.
    """
    return Validator(dict(schema), pattern_options=PATTERNS, retriever=_retrieve_nothing, mask=mask)


def fault_of(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema, and where; None when it can be used."""
    try:
        validator_of(schema)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(["#", *map(str, error.instance_path)])
        return f"{place}: {_hint(error)}"
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return clean(str(error))
    return None


def _retrieve_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is in another document")


def _hint(error: jsonschema_rs.ValidationError) -> str:
    if error.instance_path and error.instance_path[-1] == "pattern":
        return "is no pattern that is taken: one without look-around and back-references, and not too large"
    return clean(error.message)
