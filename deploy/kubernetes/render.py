"""Renders the manifests that kustomize reads from the Helm chart, so that both say the same: `make manifests`.

With --check nothing is written; it fails when a file is not what the chart makes.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHART = HERE.parent / "helm" / "taskledger"
BASE = (
    "api",
    "dispatcher",
    "flower",
    "migrate",
    "network-policies",
    "service-account",
    "settings",
    "sinks",
    "stream",
    "worker",
)
PRODUCTION = ("ingress", "worker-autoscaler")
PRODUCTION_FOLDER = HERE / "overlays" / "production"
# Helm's own labels would be wrong there.
OF_HELM = re.compile(r"^ +(helm\.sh/chart|app\.kubernetes\.io/(instance|version|managed-by)): .*\n", re.MULTILINE)
SOURCE = re.compile(r"^---\n# Source: (\S+)\n", re.MULTILINE)
HEAD = "# Rendered from deploy/helm/taskledger/templates/{name}.yaml by `make manifests`: change it there.\n"


def helm() -> str:
    """The program. Raises SystemExit where it is not installed."""
    found = shutil.which("helm", path=Path(sys.executable).parent) or shutil.which("helm")
    if found is None:
        raise SystemExit("helm is not installed: `make kubernetes-tools` puts it into .venv")
    return found


def rendered(name: str, values: Path) -> str:
    """One template of the chart with these values, as kustomize wants it."""
    command = [helm(), "template", "taskledger", str(CHART), "--values", str(values)]
    done = subprocess.run(
        [*command, "--show-only", f"templates/{name}.yaml"], capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise SystemExit(f"helm cannot render {name}.yaml:\n{done.stderr}")
    documents = [text.strip("\n") for text in SOURCE.sub("---\n", OF_HELM.sub("", done.stdout)).split("---\n")]
    return HEAD.format(name=name) + "\n---\n".join(text for text in documents if text) + "\n"


def wanted() -> dict[Path, str]:
    """Every file that the chart makes, with what it should say."""
    base = {HERE / "base" / f"{name}.yaml": rendered(name, HERE / "values.yaml") for name in BASE}
    values = PRODUCTION_FOLDER / "values.yaml"
    return base | {PRODUCTION_FOLDER / f"{name}.yaml": rendered(name, values) for name in PRODUCTION}


def main() -> int:
    """Write what differs, or with --check name it; returns the exit status."""
    is_check = "--check" in sys.argv[1:]
    differing = {path: text for path, text in wanted().items() if not path.exists() or path.read_text() != text}
    for path, text in differing.items():
        if is_check:
            sys.stderr.write(f"{path} is not what the chart makes: run `make manifests`\n")
        else:
            path.write_text(text)
    return 1 if is_check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
