"""The distributions of the SDK, and an environment with them; each is made once."""

from pathlib import Path

import pytest

from tests.sdk.environment import SdkEnvironment, build


@pytest.fixture(scope="session")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The wheel and the source distribution."""
    return build(tmp_path_factory.mktemp("distributions"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory, distributions) -> SdkEnvironment:
    """The wheel where nothing of the service is."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    return SdkEnvironment(folder, distributions[0], others=["pytest", "hypothesis"])
