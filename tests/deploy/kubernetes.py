"""What the tests of manifests share: helm and kubectl, and the strict check of what they print."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import unavailable
from tests.support.servers.databases import ROOT

CHART = ROOT / "deploy" / "helm" / "taskledger"
NOT_INSTALLED = "{name} is not installed here: `make kubernetes-tools` puts it into .venv"
OF_OPERATORS = ("keda.sh/",)
"""Kinds whose schemas are not Kubernetes' own."""


def program(name: str) -> Path:
    """Beside this Python or on the path; without it the test is skipped, or fails in CI."""
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    if found is None:
        unavailable(NOT_INSTALLED.format(name=name))
    return Path(found)


def run(*command: Any) -> str:
    """What it printed. Raises AssertionError with what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def helm_template(*arguments: Any, release: str = "taskledger") -> str:
    """What `helm install` would send, hooks included."""
    return run(program("helm"), "template", release, CHART, "--namespace", "apart", *arguments)


def objects_of(text: str) -> list[dict[str, Any]]:
    """The objects of a stream of documents."""
    return [each for each in yaml.safe_load_all(text) if each]


def assert_valid(text: str, version: str, folder: Path) -> None:
    """Every object is one that this version of Kubernetes knows, without a field too many."""
    made = [each for each in objects_of(text) if not each["apiVersion"].startswith(OF_OPERATORS)]
    path = folder / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(made))

    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "--kubernetes-version", version, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") + done.stderr.count("passed") == len(made)
