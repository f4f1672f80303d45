"""What the wheel of the server says of itself that stands elsewhere in the checkout: its version and what it needs."""

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_NEEDED = ("flit_core",)  # it builds the SDK for images
DEVELOPMENT = "dev"


class ServerMetadata(MetadataHookInterface):
    """Fills in what is dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """The version is the SDK's, and exactly that SDK is needed: they are made for each other."""
        init = (CHECKOUT / "sdk" / "python" / "taskledger_sdk" / "__init__.py").read_text(encoding="utf-8")
        found = re.search(r'^__version__ = "(.+)"$', init, re.MULTILINE)
        if found is None:
            raise ValueError("sdk/python/taskledger_sdk/__init__.py says no __version__")
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        metadata["version"] = found[1]
        metadata["dependencies"] = [
            f"taskledger-sdk=={found[1]}",
            *(each for each in project["dependencies"] if not each.startswith(NOT_NEEDED)),
        ]
        extras = project["optional-dependencies"]
        metadata["optional-dependencies"] = {name: extras[name] for name in extras if name != DEVELOPMENT}
