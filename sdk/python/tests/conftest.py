"""What every test of the SDK may rely on."""

import pytest

from taskledger_sdk import registry
from taskledger_sdk.registry import load_types


@pytest.fixture(autouse=True)
def _own_types(monkeypatch):
    """The task types that a test declares are gone after it."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)
