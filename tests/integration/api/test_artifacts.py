"""/artifacts over HTTP: uploads as they stream, downloads with ranges, and what is refused."""

import hashlib
import io

import pytest

from app.config import get_settings

ARTIFACTS = "/api/v1/artifacts"
CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def upload(client):
    def uploaded(content=CONTENT, name="a.bin", **options):
        return client.post(ARTIFACTS, data={"file": (io.BytesIO(content), name)}, **options)

    return uploaded


@pytest.fixture
def stored(upload):
    return upload().json


def test_an_uploaded_file_is_described_and_measured(client, upload):
    answer = upload(name="report.csv")

    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{ARTIFACTS}/{answer.json['id']}"
    assert (answer.json["name"], answer.json["media_type"], answer.json["size"]) == ("report.csv", "text/csv", 256_000)
    assert answer.json["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert client.get(answer.headers["Location"]).json == answer.json


def test_a_downloaded_file_is_what_was_uploaded_and_never_runs_as_a_page(client, upload):
    made = upload(b"<script>alert(1)</script>", "evil.html").json

    answer = client.get(made["links"]["content"])

    assert answer.data == b"<script>alert(1)</script>"
    assert answer.headers["Content-Disposition"] == "attachment; filename=evil.html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-9", 206, CONTENT[:10]),
        ("bytes=100-", 206, CONTENT[100:]),
        ("bytes=-5", 206, CONTENT[-5:]),
        ("bytes=255990-999999", 206, CONTENT[-10:]),
    ],
)
def test_a_range_is_answered_with_its_bytes(client, stored, asked, status, content):
    answer = client.get(stored["links"]["content"], headers={"Range": asked})

    assert (answer.status_code, answer.data) == (status, content)
    assert answer.headers["Content-Range"].endswith("/256000")


def test_a_range_outside_of_the_file_is_416(client, stored):
    assert client.get(stored["links"]["content"], headers={"Range": "bytes=256000-"}).status_code == 416


@pytest.mark.parametrize("asked", ["items=0-1", "bytes=0-0,5-9", "bytes", "bytes=5-2", "bytes=x-"])
def test_what_is_not_one_range_of_bytes_is_not_looked_at(client, stored, asked):
    answer = client.get(stored["links"]["content"], headers={"Range": asked})

    assert (answer.status_code, answer.data, answer.headers["Accept-Ranges"]) == (200, CONTENT, "bytes")


def test_who_wants_another_file_is_answered_412(client, stored):
    path = stored["links"]["content"]
    answers = [client.get(path, headers={"If-Match": '"another"', **more}) for more in ({}, {"Range": "bytes=0-9"})]

    assert [(each.status_code, each.json["code"]) for each in answers] == [(412, "precondition_failed")] * 2
    assert client.get(path, headers={"If-Match": client.get(path).headers["ETag"]}).status_code == 200


def test_who_has_the_file_already_is_answered_304(client, stored):
    tag = client.get(stored["links"]["content"]).headers["ETag"]

    assert client.get(stored["links"]["content"], headers={"If-None-Match": tag}).status_code == 304


def test_a_deleted_file_is_404(client, stored):
    assert client.delete(stored["links"]["self"]).status_code == 204

    for path in (stored["links"]["self"], stored["links"]["content"]):
        assert client.get(path).status_code == 404
    assert client.delete(stored["links"]["self"]).status_code == 404


def test_files_are_listed_page_by_page(client, upload):
    ids = [upload().json["id"] for _ in range(3)]

    first = client.get(ARTIFACTS, query_string={"limit": 2}).json
    rest = client.get(ARTIFACTS, query_string={"limit": 2, "cursor": first["next"]}).json

    assert [item["id"] for item in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None


def test_a_file_may_be_larger_than_other_bodies(client, application):
    content = bytes(application.config["MAX_CONTENT_LENGTH"] * 3)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    answer = client.post(
        ARTIFACTS, data=head + content + b"\r\n--x--\r\n", content_type="multipart/form-data; boundary=x"
    )

    assert answer.json["size"] == len(content)


def test_a_file_that_is_too_large_is_413(client, upload, monkeypatch):
    limited = get_settings().__class__(**{**vars(get_settings()), "artifact_max_bytes": 1000})
    monkeypatch.setattr("app.api.artifacts.get_settings", lambda: limited)

    answer = upload(bytes(1001))

    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    assert client.get(ARTIFACTS).json["items"] == []


def test_only_multipart_is_taken(client):
    assert client.post(ARTIFACTS, json={}).status_code == 415
    assert client.post(ARTIFACTS, data=b"x").status_code == 415


@pytest.mark.parametrize(
    "form",
    [
        {"other": (io.BytesIO(b"x"), "a")},
        {"file": "no file but a text"},
        {"file": [(io.BytesIO(b"x"), "a"), (io.BytesIO(b"y"), "b")]},
        {"file": (io.BytesIO(b"x"), "a\x07b")},
        {"file": (io.BytesIO(b"x"), "x" * 201)},
    ],
)
def test_anything_but_one_file_is_422(client, form):
    answer = client.post(ARTIFACTS, data=form, content_type="multipart/form-data")

    assert answer.status_code == 422, answer.text
    assert client.get(ARTIFACTS).json["items"] == []


def test_a_body_that_ends_too_early_is_400_and_keeps_nothing(client):
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello'

    answer = client.post(ARTIFACTS, data=body, content_type="multipart/form-data; boundary=x")

    assert answer.status_code == 400, answer.text
    assert client.get(ARTIFACTS).json["items"] == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd"])
def test_a_file_name_is_never_a_path(upload, name):
    assert not set("/\\") & set(upload(name=name).json["name"])


def test_an_id_that_is_none_is_404(client):
    assert client.get(f"{ARTIFACTS}/../../etc/passwd").status_code == 404
    assert client.get(f"{ARTIFACTS}/nonsense/content").status_code == 404


def test_an_upload_that_is_repeated_with_its_key_keeps_one_file(client, upload):
    key = {"Idempotency-Key": "report-17"}
    first = upload(headers=key)

    again = upload(headers=key)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(client.get(ARTIFACTS).json["items"]) == 1


@pytest.mark.parametrize("other", [{"content": b"other"}, {"name": "b.bin"}])
def test_a_key_that_was_used_for_another_file_is_refused(client, upload, other):
    upload(headers={"Idempotency-Key": "report-18"})

    answer = upload(headers={"Idempotency-Key": "report-18"}, **other)

    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    assert len(client.get(ARTIFACTS).json["items"]) == 1


def test_a_key_whose_file_was_deleted_is_410(client, upload):
    made = upload(headers={"Idempotency-Key": "report-19"}).json
    client.delete(f"{ARTIFACTS}/{made['id']}")

    assert upload(headers={"Idempotency-Key": "report-19"}).status_code == 410


def test_a_key_of_an_upload_that_was_refused_may_be_used_again(client, upload, monkeypatch):
    key = {"Idempotency-Key": "report-20"}
    with monkeypatch.context() as small:
        limited = get_settings().__class__(**{**vars(get_settings()), "artifact_max_bytes": 10})
        small.setattr("app.api.artifacts.get_settings", lambda: limited)
        assert upload(headers=key).status_code == 413

    assert upload(headers=key).status_code == 201
