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
