"""Fetch or check the copy of Swagger UI below app/api/static: python deploy/vendor_swagger_ui.py [--check]

To take a newer version, change VERSION, run it without arguments and look at /docs. It needs npm; --check does not.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "5.35.0"
FILES = (
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
    "favicon-32x32.png",
    "LICENSE",
    "NOTICE",
)
TARGET = Path(__file__).parents[1] / "app/api/static/swagger-ui"
SUMS = TARGET / "SHA256SUMS"


def fetch() -> None:
    """Unpack the needed files of npm's package and write their checksums."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"swagger-ui-dist@{VERSION}"], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/{name}")
                if member is None:
                    raise SystemExit(f"swagger-ui-dist {VERSION} has no file {name}")
                (TARGET / name).write_bytes(member.read())
    SUMS.write_text("".join(f"{checksum(TARGET / name)}  {name}\n" for name in FILES))


def changed() -> list[str]:
    """Names of files that are not as they were fetched."""
    expected = dict(reversed(line.split("  ")) for line in SUMS.read_text().splitlines())
    return [name for name in FILES if checksum(TARGET / name) != expected.get(name)]


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hex; empty when it is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


if __name__ == "__main__":
    if "--check" not in sys.argv:
        fetch()
    if names := changed():
        raise SystemExit(f"not as fetched: {', '.join(names)}; run python deploy/vendor_swagger_ui.py")
