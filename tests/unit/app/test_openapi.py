"""The OpenAPI document as generators of clients read it: every operation has a name that stays."""

import re
from pathlib import Path

import pytest

from tests.support.nowhere import openapi_document

KEPT = Path(__file__).with_name("operation_ids.txt")
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict:
    return openapi_document()


def operations(document: dict) -> dict[str, dict]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def test_every_operation_has_a_name_in_camel_case_of_its_own(document):
    names = [operation.get("operationId", "") for operation in operations(document).values()]

    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name)] == []
    assert len(names) == len(set(names))


def test_names_of_operations_stay(document):
    """Generated clients call them: one that changes breaks somebody's program. New ones are added to the list."""
    named = {f"{operation['operationId']} {place}" for place, operation in operations(document).items()}

    assert sorted(named) == KEPT.read_text(encoding="utf-8").splitlines()


def test_no_default_is_documented_that_nobody_may_send(document):
    def faults(part, place: str) -> list[str]:
        if isinstance(part, list):
            return [fault for index, each in enumerate(part) for fault in faults(each, f"{place}/{index}")]
        if not isinstance(part, dict):
            return []
        found = [fault for name, each in part.items() for fault in faults(each, f"{place}/{name}")]
        kinds = part.get("type")
        if part.get("default", 0) is None and isinstance(kinds, str) and kinds != "null":
            found.append(place)
        return found

    assert faults(document, "") == []
