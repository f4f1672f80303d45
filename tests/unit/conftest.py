"""What every unit test may rely on: nothing asks a database."""

import pytest

from taskledger_sdk import registry


@pytest.fixture(autouse=True)
def _no_remote_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """The types of the code are all that there are: remote ones are in the ledger."""
    monkeypatch.setattr(registry, "_elsewhere", None)
