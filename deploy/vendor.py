"""Fetch or check the files of others that are served from here, by `python deploy/vendor.py [--check]`.

To take a newer version, change it below, run this without arguments and look at what uses it. It needs npm; --check
does not.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUMS = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True)
class Package:
    """An npm package, the files taken of it, and where they lie."""

    name: str
    version: str
    target: Path
    files: tuple[str, ...]

    def fetch(self) -> None:
        """Unpack the files and write their checksums."""
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", "--silent", f"{self.name}@{self.version}"], cwd=folder, check=True)
            (package,) = Path(folder).glob("*.tgz")
            with tarfile.open(package) as archive:
                for file in self.files:
                    member = archive.extractfile(f"package/{file}")
                    if member is None:
                        raise SystemExit(f"{self.name} {self.version} has no file {file}")
                    self.path(file).write_bytes(member.read())
        lines = (f"{checksum(self.path(file))}  {Path(file).name}\n" for file in self.files)
        (self.target / SUMS).write_text("".join(lines))

    def changed(self) -> list[str]:
        """Names of files that are not as they were fetched."""
        expected = dict(reversed(line.split("  ")) for line in (self.target / SUMS).read_text().splitlines())
        return [file for file in self.files if checksum(self.path(file)) != expected.get(Path(file).name)]

    def path(self, file: str) -> Path:
        """Where a file lies here: without the package's own folders."""
        return self.target / Path(file).name


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hex; empty when it is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


PACKAGES = (
    Package(
        name="swagger-ui-dist",
        version="5.35.0",
        target=ROOT / "app/api/static/swagger-ui",
        files=(
            "swagger-ui-bundle.js",
            "swagger-ui-bundle.js.LICENSE.txt",
            "swagger-ui.css",
            "favicon-32x32.png",
            "LICENSE",
            "NOTICE",
        ),
    ),
    Package(
        name="uplot",
        version="1.6.32",
        target=ROOT / "app/dashboard/static/vendor",
        files=("dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"),
    ),
)


if __name__ == "__main__":
    for package in PACKAGES:
        if "--check" not in sys.argv:
            package.fetch()
        if names := package.changed():
            raise SystemExit(f"not as fetched: {', '.join(names)} of {package.name}; run python deploy/vendor.py")
