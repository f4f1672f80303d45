"""What the TypeScript client must keep up with, as far as that can be seen without Node.js."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskledger_sdk import __version__
from tests.support.nowhere import openapi_document
from tests.unit.documents import ROOT, spans

SOURCE = ROOT / "sdk" / "typescript"
OF_NODE = {"openAsBlob"}
PAGE = ROOT / "docs" / "how-to" / "typescript-client.md"


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """The schemas that its types are made of."""
    tool = _module(SOURCE / "tools" / "kept_schemas.py")
    document = openapi_document()
    schemas: dict[str, Any] = tool.part_of(document)["components"]["schemas"]
    return schemas


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_has_the_version_of_the_release():
    versions = {
        json.loads((SOURCE / "package.json").read_text())["version"],
        json.loads((SOURCE / "package-lock.json").read_text())["version"],
    }

    assert versions == {__version__}


def test_its_lock_leaves_open_which_registry_is_asked():
    assert "resolved" not in (SOURCE / "package-lock.json").read_text()


def test_moments_and_nothing_else_have_names_by_which_it_knows_them(kept):
    """Its `read` makes a Date of what is called `at` or ends in `_at`."""
    wrong = {
        f"{schema}.{name}"
        for schema, said in kept.items()
        for name, field in said.get("properties", {}).items()
        if (field.get("format") == "date-time") is not bool(re.search(r"(^|_)at$", name))
    }

    assert wrong == set()


def test_its_types_have_every_schema_and_every_field(kept):
    """Run `npm run generate` in sdk/typescript after a change of schemas."""
    types = (SOURCE / "src" / "openapi.ts").read_text(encoding="utf-8")
    found = dict(re.findall(r"^        (\w+): \{\n(.*?)^        \}", types, re.DOTALL | re.MULTILINE))

    assert {name: _fields(body) for name, body in found.items()} == {
        name: set(said.get("properties", {})) for name, said in kept.items()
    }


def _fields(body: str) -> set[str]:
    return set(re.findall(r"^            (?:readonly )?(\w+)\??: ", body, re.MULTILINE))


def names_in_code() -> set[str]:
    """Words of its sources; fields that the document has in snake_case are in camelCase there."""
    words = {word for path in (SOURCE / "src").rglob("*.ts") for word in re.findall(r"\b[A-Za-z]\w*", path.read_text())}
    return words | {re.sub(r"_([a-z])", lambda found: found[1].upper(), word) for word in words}


def members_of_client() -> set[str]:
    source = (SOURCE / "src" / "client.ts").read_text(encoding="utf-8")
    return set(re.findall(r"^  (?:readonly |async )?\*?(\w+)[<(:]", source, re.MULTILINE))


def unknown_names(text: list[str]) -> set[str]:
    """What of the words between backticks looks like a name of its code, and is none."""
    shown = [span.split("(")[0].removeprefix("new ") for span in text]
    members = {name.partition(".")[2] for name in shown if re.fullmatch(r"client\.\w+", name)}
    names = {name for name in shown if re.fullmatch(r"[a-z]+[A-Z]\w+|[A-Z]\w+[a-z]", name)}
    return (members - members_of_client()) | (names - names_in_code() - OF_NODE)


def test_the_names_on_its_page_are_those_of_the_code():
    assert unknown_names(spans(PAGE)) == set()


def test_a_name_that_is_not_there_would_be_found():
    wrong = ["client.enqueue(...)", "retryAfterSeconds", "NoSuchError", "client.artifact"]

    assert unknown_names(wrong) == {"enqueue", "retryAfterSeconds", "NoSuchError", "artifact"}
