"""A virtual environment with the SDK's wheel, what it needs, and nothing else: no network, and none of the service.

What the wheel needs is copied from the environment of the tests, so that it has the pinned versions.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.servers.databases import ROOT

SDK = ROOT / "sdk" / "python"
SECONDS = 280  # each takes a few; for machines that have much else to do
BUILD = "import sys, flit_core.buildapi as build; build.build_wheel(sys.argv[1]); build.build_sdist(sys.argv[1])"


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution, built as a release builds them."""
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=SDK, check=True, capture_output=True, timeout=SECONDS)
    [wheel], [source] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


class SdkEnvironment:
    """The environment of somebody who has installed the wheel, and `others` for their tests."""

    def __init__(self, folder: Path, wheel: Path, *, others: Iterable[str]) -> None:
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=SECONDS)
        self.packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        self.install(wheel)
        [ours] = metadata.distributions(name="taskledger-sdk", path=[str(self.packages)])
        for distribution in _closure([*(ours.requires or ()), *others]).values():
            _link(distribution, self.packages)

    def install(self, *what: Path | str) -> None:
        """Install a wheel or a project, without what it needs."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-deps", "--no-index"]
        command = [*pip, "--no-build-isolation", "--disable-pip-version-check", *what]
        subprocess.run(command, check=True, timeout=SECONDS)

    def run(self, *arguments: str | Path, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python there, or a script of the environment if the first argument names one."""
        script = self.python.with_name(str(arguments[0])) if arguments else None
        command = [script, *arguments[1:]] if script and script.exists() else [self.python, *arguments]
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command,
            cwd=directory,
            env={"PATH": path, "HOME": str(directory), "LC_ALL": "C.UTF-8"} | environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )


def _closure(requirements: Iterable[str]) -> dict[str, metadata.Distribution]:
    """The distributions that requirements lead to. Raises AssertionError for a version that would not do."""
    found: dict[str, metadata.Distribution] = {}
    todo = [Requirement(each) for each in requirements]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found[name] = distribution = metadata.distribution(name)
        assert wanted.specifier.contains(distribution.version, prereleases=True), f"{wanted} is not installed"
        todo += [Requirement(each) for each in distribution.requires or ()]
    return found


def _link(distribution: metadata.Distribution, folder: Path) -> None:
    """Put a distribution's modules there as links; its scripts are not needed."""
    for file in distribution.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(str(file.locate())).resolve())
