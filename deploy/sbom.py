#!/usr/bin/env python3
"""Writes what is in an image as a CycloneDX 1.6 document.

Run `python3 deploy/sbom.py VENV > sbom.cdx.json`.
The Python packages of a virtual environment, by their metadata, and the packages of Debian, by dpkg. The Dockerfiles
run it; it needs nothing but Python.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

DPKG = ["dpkg-query", "--show", "--showformat", "${Package}\t${Version}\t${Architecture}\n"]


def main(venv: Path) -> None:
    """Print the document."""
    components = sorted([*python_packages(venv), *debian_packages()], key=lambda each: each["purl"])
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    json.dump(document, sys.stdout, indent=1)


def python_packages(venv: Path) -> Iterator[dict[str, Any]]:
    """A component for each distribution that is installed there."""
    folders = [str(folder) for folder in venv.glob("lib/python*/site-packages")]
    for distribution in distributions(path=folders):
        name = distribution.metadata["Name"].lower().replace("_", "-")
        yield {
            "type": "library",
            "name": name,
            "version": distribution.version,
            "purl": f"pkg:pypi/{name}@{distribution.version}",
            **_license_of(distribution),
        }


def debian_packages() -> Iterator[dict[str, Any]]:
    """A component for each package of the system; none where there is no dpkg."""
    try:
        listed = subprocess.run(DPKG, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return
    for line in listed.splitlines():
        name, version, architecture = line.split("\t")
        purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}"
        yield {"type": "library", "name": name, "version": version, "purl": purl}


def _license_of(distribution: Distribution) -> dict[str, Any]:
    expression = distribution.metadata.get("License-Expression")
    return {"licenses": [{"expression": expression}]} if expression else {}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
