"""Generators of clients accept the OpenAPI document without a warning, and programs with what they make work."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.nodejs import check_node, run
from tests.conftest import empty_broker_url
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.typescript, pytest.mark.timeout(600)]

PROGRAMS = ROOT / "tests" / "acceptance" / "generators"
OPENAPI_PYTHON_CLIENT = "openapi-python-client==0.29.1"


@pytest.fixture(scope="module")
def service(databases, request) -> Iterator[Stack]:
    database_url = databases.create(f"generated_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        yield stack
    databases.drop(database_url)


@pytest.fixture(scope="module")
def environment(service) -> Mapping[str, str]:
    """Of programs that talk to the service."""
    key = str(service.http.headers["Authorization"]).removeprefix("Bearer ")
    return {"TASKLEDGER_URL": service.api.url, "TASKLEDGER_API_KEY": key}


@pytest.fixture(scope="module")
def folder(service, tmp_path_factory) -> Path:
    """The programs, beside the document as the service answers with it."""
    folder = tmp_path_factory.mktemp("generators") / "programs"
    shutil.copytree(PROGRAMS, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "openapi.json").write_text(service.http.get(f"{service.api.url}/openapi.json").text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def node(folder) -> Path:
    """The folder with the generators for TypeScript."""
    check_node()
    run(["npm", "ci", "--no-audit", "--no-fund"], folder)
    return folder


def test_openapi_python_client(folder, environment):
    python = folder / "venv" / "bin" / "python"
    run([sys.executable, "-m", "venv", str(python.parent.parent)], folder)
    run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", OPENAPI_PYTHON_CLIENT, "ruff"],
        folder,
    )
    generate = [
        str(python.with_name("openapi-python-client")),
        "generate",
        "--path",
        "openapi.json",
        "--fail-on-warning",
    ]
    path = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}  # it formats what it makes with ruff

    said = run([*generate, "--meta", "none", "--output-path", "generated"], folder, path)
    out = run([str(python), "program.py"], folder, {**environment, "PYTHONPATH": str(folder)})

    assert "warning" not in said.lower()
    assert out == "olleh\n"


def test_openapi_typescript_with_openapi_fetch(node, environment):
    said = generated("openapi-typescript openapi.json --output schema.ts", node)
    compiled(node, "openapi-fetch.ts")

    assert said == ""
    assert run(["node", "dist/openapi-fetch.js"], node, environment) == "olleh\n"


def test_hey_api_openapi_ts(node, environment):
    said = generated("openapi-ts", node)
    compiled(node, "hey-api.ts")

    assert said == ""
    assert run(["node", "dist/hey-api.js"], node, environment) == "olleh\n"


def generated(command: str, folder: Path) -> str:
    """What a generator warns of."""
    done = subprocess.run(
        ["npx", *command.split()], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", f"{done.stdout}\n{done.stderr}").splitlines()
    return "\n".join(line for line in lines if re.search(r"warn|error|deprecat|⚠", line, re.IGNORECASE))


def compiled(folder: Path, program: str) -> None:
    options = ["--target", "ES2022", "--module", "NodeNext", "--lib", "ES2022,DOM,DOM.Iterable", "--strict"]
    run(["npx", "tsc", *options, "--skipLibCheck", "--outDir", "dist", program], folder)
