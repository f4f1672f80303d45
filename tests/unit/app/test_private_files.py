"""Files and directories that other users of the machine must not read, or have prepared."""

import logging
import os
import stat
import tempfile

import pytest

from app.embedded import mail_catcher, preflight, settings
from app.errors import SettingsError
from app.observability import metrics
from app.observability.log_file import SharedFileHandler
from app.private_files import private_directory


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_private_directory_is_made_and_found_again(tmp_path):
    path = tmp_path / "made"

    assert (private_directory(path, "X"), private_directory(path, "X")) == (path, path)
    assert mode(path) == 0o700


def test_a_directory_of_ours_that_others_may_enter_is_closed(tmp_path):
    path = tmp_path / "open"
    path.mkdir(mode=0o755)

    assert mode(private_directory(path, "X")) == 0o700


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_somebody_else_may_have_put_there_is_refused_with_a_remedy(tmp_path, kind):
    path, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.symlink_to(elsewhere) if kind == "link" else path.write_text("")

    with pytest.raises(SettingsError, match=r"X: .*mine is (a link|no directory).* set X to a directory"):
        private_directory(path, "X")
    assert list(elsewhere.iterdir()) == []


def test_a_directory_of_another_account_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "theirs"
    path.mkdir()
    made_by = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: made_by + 1)

    with pytest.raises(SettingsError, match=f"belongs to the account with number {made_by}"):
        private_directory(path, "X")


def test_metrics_are_not_counted_through_a_link_of_somebody_else(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"taskledger-metrics-{os.geteuid()}").symlink_to(elsewhere)

    with pytest.raises(SettingsError, match=r"METRICS_DIR: .* is a link"):
        metrics.share("api", owner=os.getpid())
    assert list(elsewhere.iterdir()) == []


def test_the_var_directory_of_an_older_version_is_closed_to_others(tmp_path):
    ours = settings.load({"VAR_DIR": str(tmp_path / "var")})
    for folder in (ours.var_dir, ours.log_dir, ours.var_dir / "mail", ours.var_dir / "artifacts"):
        folder.mkdir(mode=0o755)
    files = [ours.log_dir / "api.log", ours.log_dir / "api.log.1", ours.var_dir / "mail" / "a.eml"]
    for file in files:
        file.write_text("")

    preflight.prepare_directories(ours)

    assert {mode(file) for file in files} == {0o600}
    assert {mode(ours.var_dir / name) for name in ("log", "mail", "artifacts")} == {0o700}
    assert mode(ours.var_dir) == (0o711 if os.geteuid() == 0 else 0o700)  # PostgreSQL's account passes through


def test_a_mail_is_kept_for_its_account_alone(tmp_path):
    name = mail_catcher.Keeper(tmp_path).keep(b"Subject: x\r\n\r\nbody", "a@example.com", ["b@example.com"])

    assert mode(tmp_path / name) == 0o600


def test_a_log_file_is_not_for_everybody_also_after_it_was_put_aside(tmp_path):
    path = tmp_path / "logs" / "api.jsonl"
    path.parent.mkdir()
    path.write_text("of an older version\n")
    assert mode(path) == 0o644
    handler = SharedFileHandler(path, most_bytes=60, backups=2)
    for _ in range(3):
        handler.emit(logging.LogRecord("app", logging.INFO, "", 0, "x" * 50, None, None))
    handler.close()

    files = [each for each in path.parent.iterdir() if each.name.startswith("api.jsonl")]
    assert len(files) >= 3
    assert {mode(each) & 0o007 for each in files} == {0}
