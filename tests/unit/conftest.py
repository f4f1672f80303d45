"""What every unit test may rely on: nothing asks a database."""

from collections.abc import Iterator

import pytest

from taskledger_sdk import registry


@pytest.fixture(autouse=True)
def _no_remote_types() -> Iterator[None]:
    """The types of the code are all that there are: remote ones are in the ledger.

    A test may be the first of its process to import what asks the ledger, once for all: that is left as it is.
    """
    before = registry._elsewhere
    registry.look_elsewhere(None)
    yield
    if registry._elsewhere is None:
        registry.look_elsewhere(before)
