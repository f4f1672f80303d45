"""gunicorn's own lines have the form of all others, from the first one on."""

import json
import subprocess
import sys

import pytest

from tests.support.servers.databases import ROOT

SAY = """
from gunicorn.config import Config
from app.observability.gunicorn_log import Logger
logger = Logger(Config())
logger.setup(Config())  # as at a reload
logger.info("Listening at: %s (%s)", "http://0.0.0.0:8000", 1)
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_gunicorn_says_each_thing_once_in_the_format_that_is_asked_for(log_format):
    done = subprocess.run(
        [sys.executable, "-c", SAY],
        cwd=ROOT,
        env={"LOG_FORMAT": log_format},
        capture_output=True,
        text=True,
        timeout=60,
    )

    [line] = done.stderr.splitlines()
    if log_format == "json":
        assert json.loads(line)["event"] == "Listening at: http://0.0.0.0:8000 (1)"
    assert "gunicorn.error" in line
