"""Files: rows and content kept together, whatever fails in between; the same on a disk and in a bucket."""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.database import in_transaction
from app.errors import NotFound
from app.models import new_id
from app.services import artifacts
from app.services.artifacts import NewArtifact, Store, StoreAway, TooLarge
from tests.support.servers.bucket import Bucket

NEW = NewArtifact(owner_id=None, task_id=None, name="a.csv", media_type="text/csv")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """An S3-compatible server with an empty bucket."""
    with Bucket() as bucket:
        yield bucket


@pytest.fixture(params=["disk", "bucket"])
def kept(request, settings, tmp_path, monkeypatch):
    """Settings with a store of either kind."""
    if request.param == "disk":
        return replace(settings, var_dir=tmp_path)
    bucket = request.getfixturevalue("bucket")
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return replace(settings, artifacts_url=f"s3://{bucket.name}/{uuid.uuid4().hex}")


@pytest.fixture
def store(kept):
    return Store.of(kept)


def save(store, settings, content=b"a,b\n1,2\n", new=NEW, **options):
    return artifacts.save(in_transaction, store, new, iter([content]), settings=settings, **options)


def content_of(store, record):
    with store.open(record.id) as stream:
        return stream.read()


def sweep(store, now):
    """Sweep until nothing is left to do; how many rows were changed."""
    changed = 0
    while done := in_transaction(lambda session: artifacts.sweep(session, store, now=now)):
        changed += done
    return changed


def rows(session):
    return session.scalar(sa.text("SELECT count(*) FROM artifacts"))


def test_a_saved_file_is_read_as_it_was_and_measured(session, store, kept):
    content = bytes(range(256)) * 4000

    record = save(store, kept, content)

    assert content_of(store, record) == content
    assert (record.size, record.sha256) == (1_024_000, hashlib.sha256(content).hexdigest())
    assert artifacts.read(session, record.id, owner=None) == record


def test_a_part_of_a_file_can_be_read(session, store, kept):
    record = save(store, kept, b"0123456789")

    with store.open(record.id) as stream:
        stream.seek(4)
        assert stream.read(3) == b"456"


def test_a_file_can_be_had_as_a_local_path(session, store, kept):
    record = save(store, kept, b"hello")

    with store.local_path(record.id) as path:
        assert path.read_bytes() == b"hello"


def test_a_file_that_is_too_large_is_never_seen_and_leaves_nothing(session, store, kept):
    with pytest.raises(TooLarge):
        save(store, replace(kept, artifact_max_bytes=4), b"12345")

    assert artifacts.find(session, owner=None, limit=10) == ([], None)
    sweep(store, utcnow())
    assert rows(session) == 0


def test_a_file_that_a_fence_forbids_is_never_seen(session, store, kept):
    def forbid(_session):
        raise PermissionError

    with pytest.raises(PermissionError):
        save(store, kept, fence=forbid)

    assert artifacts.find(session, owner=None, limit=10) == ([], None)


def test_a_task_that_saves_a_name_again_replaces_its_file(session, store, kept):
    new = replace(NEW, task_id=new_id())

    first, second = (save(store, kept, content, new) for content in (b"one", b"two"))

    assert artifacts.find(session, owner=None, task_id=new.task_id, limit=10)[0] == [second]
    with pytest.raises(NotFound):
        artifacts.read(session, first.id, owner=None)
    sweep(store, utcnow())
    assert rows(session) == 1
    assert content_of(store, second) == b"two"


def test_a_strangers_file_is_not_there(session, store, kept):
    ours, theirs = new_id(), new_id()
    record = save(store, kept, new=replace(NEW, owner_id=theirs))

    with pytest.raises(NotFound):
        artifacts.read(session, record.id, owner=ours)
    with pytest.raises(NotFound):
        artifacts.delete(session, record.id, owner=ours, now=utcnow())
    assert artifacts.find(session, owner=ours, limit=10) == ([], None)
    assert artifacts.read(session, record.id, owner=theirs) == record


def test_a_deleted_file_is_gone_at_once_and_its_content_with_the_next_sweep(session, store, kept):
    record = save(store, kept)
    in_transaction(lambda session: artifacts.delete(session, record.id, owner=None, now=utcnow()))

    with pytest.raises(NotFound):
        artifacts.read(session, record.id, owner=None)
    assert sweep(store, utcnow()) == 1
    with pytest.raises(StoreAway):
        content_of(store, record)
    assert rows(session) == 0


def test_a_file_expires_after_the_days_that_are_set(session, store, kept):
    record = save(store, replace(kept, artifact_retention_days=10))

    assert sweep(store, utcnow() + timedelta(days=9)) == 0
    assert sweep(store, utcnow() + timedelta(days=11)) == 2  # hidden, then removed
    assert rows(session) == 0
    with pytest.raises(StoreAway):
        content_of(store, record)


def test_a_file_is_kept_for_ever_where_no_days_are_set(session, store, kept):
    record = save(store, replace(kept, artifact_retention_days=0))

    sweep(store, utcnow() + timedelta(days=10_000))

    assert artifacts.read(session, record.id, owner=None) == record


def test_the_sweep_forgives_content_that_is_gone_already(session, store, kept):
    record = save(store, kept)
    store.remove(record.id)
    store.remove(record.id)
    in_transaction(lambda session: artifacts.delete(session, record.id, owner=None, now=utcnow()))

    assert sweep(store, utcnow()) == 1


def test_files_are_listed_newest_first_page_by_page(session, store, kept):
    ids = [save(store, kept).id for _ in range(3)]

    first, last = artifacts.find(session, owner=None, limit=2)
    rest, end = artifacts.find(session, owner=None, before=last, limit=2)

    assert [record.id for record in first + rest] == ids[::-1]
    assert end is None


def test_samples_can_be_read_by_everybody_and_deleted_by_nobody(session, store):
    sample = uuid.UUID("00000000-0000-7000-8000-000000000001")

    record = artifacts.read(session, sample, owner=new_id())

    assert content_of(store, record).startswith(b"order_id,")
    with pytest.raises(NotFound):
        artifacts.delete(session, sample, owner=None, now=utcnow())


def test_a_store_that_does_not_answer_is_said_to_be_away(session, settings, monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    away = replace(settings, artifacts_url="s3://nowhere/x")

    with pytest.raises(StoreAway):
        save(Store.of(away), away)
