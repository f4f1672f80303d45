"""What `make run` says while it starts: what a person must look at, and nothing that is well."""

import pytest

from app.embedded import startup
from app.embedded.console import IMPORTANT
from app.embedded.startup import Startup

AT = "2026-11-29 17:23:09.159 UTC [28201]"


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [
        (f"{AT} FATAL:  the database system is starting up", False),  # whoever asks before it is ready is told so
        (f'{AT} FATAL:  password authentication failed for user "taskledger"', True),
        (f"{AT} PANIC:  could not write to file", True),
        (f"{AT} LOG:  database system is ready to accept connections", False),
    ],
)
def test_lines_of_postgresql_that_somebody_must_see(line, is_shown):
    assert bool(IMPORTANT.search(line)) is is_shown


def test_what_is_ready_a_moment_too_late_is_not_said_to_lack_something(monkeypatch):
    monkeypatch.setattr(startup, "READY_SECONDS", 0.0)
    monkeypatch.setattr(Startup, "_fault", lambda _: None)
    monkeypatch.setattr(Startup, "_start", lambda *_: [])
    silent = Startup(settings=None, credentials=None, programs=(), supervisor=None, console=None)

    with pytest.raises(StopIteration) as ended:
        next(silent._services())

    assert ended.value.value is None
