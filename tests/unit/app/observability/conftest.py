"""Tests that set up logging leave it as they found it, for whatever test runs next in the same process."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Put back what was set up: an application that lives longer than this test logs by it.

    The defaults of structlog would not do: a logger that is used for the first time afterwards would print its lines.
    """
    root, configuration = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    structlog.contextvars.clear_contextvars()
    yield
    logging.captureWarnings(capture=False)
    for added in set(root.handlers) - set(handlers):
        added.close()
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**configuration)
    structlog.contextvars.clear_contextvars()
