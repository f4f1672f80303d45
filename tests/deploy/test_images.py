"""The images: linted, small, and without what their processes never load."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers.databases import NO_BROKER, ROOT

# 15 MB of it are jsonschema-rs: every process that submits checks payloads of remote types, as a worker does for a
# handler's children.
BUDGET_BYTES = 265_000_000
API_BUDGET_BYTES = 156_250_000
BUILD = (ROOT / "deploy" / "build_venv.sh").read_text()
WORKER_ONLY = re.search(r'^worker_only="(.*)"$', BUILD, re.MULTILINE).group(1).split()
MODULES = {"fpdf2": "fpdf", "fonttools": "fontTools", "pillow": "PIL"}
# What stripping saves of these cannot be seen without doing it; `make images` does, and measures.
SAVED_BY_STRIP = 20_000_000


def distributions(requirements="requirements.txt"):
    names = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / requirements).read_text(), re.MULTILINE)
    found = {}
    for name in set(names):
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for other systems or other versions of Python
    return found


def size_of(distribution):
    """Bytes of its files, bytecode included, without its tests."""
    paths = [path for path in distribution.files or () if not {"test", "tests"} & set(path.parts)]
    places = [distribution.locate_file(path) for path in paths]
    return sum(place.stat().st_size for place in places if place.exists())


def application_size():
    return sum(path.stat().st_size for folder in ("app", "tasks") for path in (ROOT / folder).rglob("*"))


@pytest.mark.parametrize("name", ["Dockerfile.api", "Dockerfile.worker"])
def test_hadolint_finds_nothing(name):
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, name], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_worker_image_fits_its_budget():
    total = sum(map(size_of, distributions().values())) + application_size() - SAVED_BY_STRIP

    assert total < BUDGET_BYTES, f"{total / 1e6:.0f} MB"


def test_the_api_image_is_half_as_large():
    kept = [each for name, each in distributions().items() if name not in WORKER_ONLY]

    assert sum(map(size_of, kept)) + application_size() < API_BUDGET_BYTES


def test_what_the_api_image_lacks_is_nothing_that_the_api_or_its_commands_import():
    lacking = [MODULES.get(name, name) for name in WORKER_ONLY]
    script = f"""
import sys
for name in {lacking!r}:
    sys.modules[name] = None  # importing it raises ImportError, as if it were not installed
from app import create_app
app = create_app()
from app.commands import backup, doctor, tasks
client = app.test_client()
assert client.get("/openapi.json").status_code == 200
assert client.get("/health/live").status_code == 200
"""
    environment = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": NO_BROKER}

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr


def test_both_images_stand_on_the_same_pinned_base():
    texts = [(ROOT / name).read_text() for name in ("Dockerfile.api", "Dockerfile.worker")]
    bases = {base for text in texts for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE)}
    defaults = {base for text in texts for base in re.findall(r"^ARG PYTHON_IMAGE=(\S+)", text, re.MULTILINE)}

    assert bases == {"${PYTHON_IMAGE}"}  # whoever builds may give a digest
    [default] = defaults
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", default)


def test_nothing_gets_into_an_image_by_accident():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert next(line for line in ignored if line and not line.startswith("#")) == "*"
    assert "app/embedded" in ignored
