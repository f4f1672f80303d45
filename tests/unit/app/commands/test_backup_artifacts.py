"""The files of a backup: what is gone is told, and a store that is away or another one is a failure."""

from dataclasses import replace
from uuid import uuid4

import pytest

from app.commands.backup import taking
from app.commands.backup.folder import ARTIFACTS
from app.config import load
from app.errors import TaskledgerError
from app.services.artifacts.store import Store
from tests.support.servers.databases import NO_BROKER

SETTINGS = load({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": NO_BROKER})


@pytest.fixture
def store(tmp_path):
    return Store.of(replace(SETTINGS, artifacts_url=f"file://{tmp_path / 'store'}"))


@pytest.fixture
def draft(tmp_path):
    (tmp_path / "draft" / ARTIFACTS).mkdir(parents=True)
    return tmp_path / "draft"


def copy(store, ids, draft):
    return taking._copy_artifacts(store, ids, draft, lambda text: None)


def test_an_artifact_that_was_deleted_meanwhile_is_told_and_the_others_are_kept(store, draft):
    there, gone = uuid4(), uuid4()
    store.write(there, [b"a,b"])

    assert copy(store, [there, gone], draft) == [str(gone)]
    assert (draft / ARTIFACTS / str(there)).read_bytes() == b"a,b"


def test_a_store_without_any_of_them_is_another_store(store, draft):
    with pytest.raises(TaskledgerError, match="none of 2 artifacts"):
        copy(store, [uuid4(), uuid4()], draft)


def test_a_ledger_without_artifacts_needs_no_store(store, draft):
    assert copy(store, [], draft) == []


def test_a_store_that_does_not_answer_fails_the_backup(store, draft, tmp_path):
    there = uuid4()
    (tmp_path / "store").write_text("a file in the place of the directory")

    with pytest.raises(TaskledgerError, match="store of artifacts failed"):
        copy(store, [there], draft)
