"""NAME_FILE beside NAME."""

import pytest

from app.config.secret_files import LARGEST_BYTES, value_of, with_files
from app.observability import scrubbing


@pytest.fixture
def smtp_url(tmp_path):
    path = tmp_path / "smtp_url"
    path.write_text("smtp://relay:a-long-password@mail.example.com\n")
    return path


def test_the_settings_of_task_types_may_lie_in_files_too(smtp_url):
    assert value_of({"SMTP_URL_FILE": str(smtp_url)}, "SMTP_URL") == "smtp://relay:a-long-password@mail.example.com"
    assert value_of({"SMTP_URL": "smtp://mail"}, "SMTP_URL") == "smtp://mail"
    assert value_of({}, "SMTP_URL") is None


def test_what_lies_in_a_file_is_kept_out_of_logs_like_any_other_secret(smtp_url, monkeypatch):
    monkeypatch.setenv("SMTP_URL_FILE", str(smtp_url))
    scrubbing.look_again()
    try:
        assert scrubbing.scrub("refused: a-long-password") == "refused: [secret]"
    finally:
        monkeypatch.undo()
        scrubbing.look_again()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (LARGEST_BYTES + 1)])
def test_what_is_no_text_or_too_long_is_a_fault(tmp_path, content):
    (tmp_path / "key").write_bytes(content)

    values, faults = with_files({"SECRET_KEY_FILE": str(tmp_path / "key")}, ["SECRET_KEY"])

    assert "SECRET_KEY" not in values
    assert len(faults) == 1
    assert "SECRET_KEY_FILE is refused" in faults[0]


def test_only_the_names_asked_for_are_read():
    """SSL_CERT_FILE and its like are not ours to read."""
    assert with_files({"SSL_CERT_FILE": "/nonexistent"}, ["SECRET_KEY"]) == ({"SSL_CERT_FILE": "/nonexistent"}, [])
