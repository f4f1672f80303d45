"""The folder of a backup: read back as it was written, refused when it is not."""

import json
from dataclasses import asdict, replace

import pytest

from app.commands.backup.folder import DUMP, MANIFEST, BadBackup, Manifest, sha256_of

MANIFEST_OF_NOW = Manifest(
    taken_at="2026-11-22T07:12:41.791+00:00",
    revision="0005",
    server_version="17.2",
    dump_sha256="",
    tasks={"PENDING": 3},
    artifacts=0,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / DUMP).write_bytes(b"a dump")
    replace(MANIFEST_OF_NOW, dump_sha256=sha256_of(tmp_path / DUMP)).write(tmp_path)
    return tmp_path


def test_a_manifest_is_read_as_it_was_written(folder):
    assert Manifest.read(folder).tasks == {"PENDING": 3}


def test_a_folder_without_a_manifest_is_no_backup(tmp_path):
    with pytest.raises(BadBackup, match="did not finish"):
        Manifest.read(tmp_path)


def test_a_dump_that_was_cut_short_is_refused(folder):
    (folder / DUMP).write_bytes(b"a dum")

    with pytest.raises(BadBackup, match="SHA-256"):
        Manifest.read(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "and": "more"}'])
def test_a_manifest_that_says_something_else_is_refused(folder, text):
    (folder / MANIFEST).write_text(text)

    with pytest.raises(BadBackup):
        Manifest.read(folder)


def test_the_format_of_a_later_version_is_refused(folder):
    (folder / MANIFEST).write_text(json.dumps(asdict(MANIFEST_OF_NOW) | {"format": 2}))

    with pytest.raises(BadBackup, match="format 2"):
        Manifest.read(folder)
