"""What every test of the SDK may rely on, and what it may ask for: a service, and a command line that talks to it."""

import logging
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from fake_service import Service, running

from taskledger_sdk import registry
from taskledger_sdk.registry import load_types

KEY = "tl_the-key-of-the-tests"


@pytest.fixture(autouse=True)
def _own_types(monkeypatch):
    """The task types that a test declares are gone after it, and nobody is asked for others."""
    monkeypatch.setattr(registry, "_elsewhere", None)
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)


@pytest.fixture(autouse=True)
def _no_lines_of_httpx2():
    """Another test of this process may have set up logging as a service does; a command line has none."""
    logger = logging.getLogger("httpx2")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that knows nothing until it is told."""
    with running() as service:
        yield service


@pytest.fixture
def home(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Nobody is logged in, and nothing runs in the current directory."""
    for name in ("URL", "API_KEY", "PROFILE", "CA_FILE", "INSECURE_HTTP"):
        monkeypatch.delenv(f"TASKLEDGER_{name}", raising=False)
    monkeypatch.delenv("VAR_DIR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture
def tledger(service: Service, home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, with the service and a key in its environment."""
    from taskledger_sdk.cli import cli

    monkeypatch.setenv("TASKLEDGER_URL", service.url)
    monkeypatch.setenv("TASKLEDGER_API_KEY", KEY)
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, arguments, input=stdin)
        assert KEY not in result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
