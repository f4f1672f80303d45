"""The changelog and its fragments: one line a change, its area in front, and the version that the code says."""

import re
import tomllib
from pathlib import Path

import pytest

from app.version import VERSION

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
KINDS = {each["directory"]: each["name"] for each in SETTINGS["type"]}
FRAGMENTS = sorted(path for path in (ROOT / "docs" / "changes").iterdir() if path.name not in SETTINGS["ignore"])
AREA = re.compile(r"\[[A-Z][A-Za-z ]*\] [^\n]+\.")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def test_the_newest_release_is_the_version_of_the_code():
    assert re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", CHANGELOG, re.MULTILINE)[0] == VERSION


def test_releases_are_added_where_the_changelog_expects_them():
    assert SETTINGS["start_string"] in CHANGELOG
    assert CHANGELOG.index(SETTINGS["start_string"]) < CHANGELOG.index("\n## ")


def test_each_line_of_a_release_begins_with_its_area():
    """A line for the next release belongs into a file of its own: docs/contributing/releasing.md."""
    lines = [line for line in CHANGELOG[CHANGELOG.index("\n## ") :].splitlines() if line and line[0] in "- "]

    assert [line for line in lines if not AREA.fullmatch(line.removeprefix("- "))] == []


def test_releases_have_the_sections_of_keep_a_changelog_only():
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= set(KINDS.values())


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_one_line_with_its_area_and_a_kind(path):
    text = path.read_text(encoding="utf-8")

    assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(KINDS)})\.md", path.name)
    assert AREA.fullmatch(text.removesuffix("\n"))
    links = [target for target in LINK.findall(text) if not target.startswith("http")]
    assert [target for target in links if not (ROOT / "docs" / target).exists()] == []
