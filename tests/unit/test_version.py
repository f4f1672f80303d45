"""The version stands in one place, and whoever may ask is told it."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import version
from app.commands.version import version as command
from tests.support.nowhere import openapi_document

ROOT = Path(__file__).parents[2]


def test_the_package_takes_its_version_from_the_code():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "taskledger_sdk.__version__"}


def test_it_is_a_version_of_three_numbers():
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.VERSION)


def test_the_api_documents_it(monkeypatch):
    monkeypatch.setattr("app.api.VERSION", "7.8.9")

    document = openapi_document()

    assert document["info"]["version"] == "7.8.9"


def test_the_command_shows_it_and_nothing_else():
    assert CliRunner().invoke(command).output == f"{version.VERSION}\n"


@pytest.mark.parametrize("name", ["Dockerfile.api", "Dockerfile.worker"])
def test_an_image_carries_the_version_that_its_build_was_given(name):
    text = (ROOT / name).read_text(encoding="utf-8")

    assert re.search(r"^ARG VERSION=", text, re.MULTILINE)
    assert 'org.opencontainers.image.version="${VERSION}"' in text
