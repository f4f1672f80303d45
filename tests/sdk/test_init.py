"""`tledger init`: what it writes works as it stands, where nothing of the service is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.sdk.environment import SdkEnvironment
from tests.support.servers.databases import ROOT

pytestmark = pytest.mark.timeout(300)

BUILD = "import sys, flit_core.buildapi as build; print(build.build_wheel(sys.argv[1]))"
LOAD = """
from taskledger_sdk import packages
from taskledger_sdk.registry import load_types
from taskledger_sdk.schedules import load_schedules
from taskledger_sdk.workflows import load_workflows
packages.use("acme_jobs")
print(*load_types())
print(*load_workflows(), *load_workflows()["acme_jobs.welcome"].definition.steps)
print(*load_schedules())
"""


@pytest.fixture(scope="module")
def project(environment: SdkEnvironment, tmp_path_factory) -> Path:
    """What `tledger init acme-jobs` writes into an empty folder."""
    folder = tmp_path_factory.mktemp("empty")
    done = environment.run("tledger", "init", "acme-jobs", directory=folder)
    assert done.returncode == 0, done.stderr
    return folder / "acme-jobs"


def test_its_tests_pass(environment, project):
    done = environment.run("-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", directory=project)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_its_tests_fail_when_its_handler_is_wrong(environment, project, tmp_path):
    handler = (project / "acme_jobs" / "greet.py").read_text()
    other = tmp_path / "acme-jobs"
    environment.run("tledger", "init", "acme-jobs", directory=tmp_path)
    (other / "acme_jobs" / "greet.py").write_text(handler.replace("Hello, ", "Goodbye, "))

    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", directory=other)

    assert done.returncode == 1
    assert "2 failed" in done.stdout


def test_a_service_finds_its_type_workflow_and_schedule(environment, project):
    done = environment.run("-W", "error", "-c", LOAD, directory=project)

    assert done.stdout.splitlines() == ["acme_jobs.greet", "acme_jobs.welcome guest host", "acme_jobs.morning"], (
        done.stderr
    )


def test_its_wheel_has_its_package_and_names_it_for_the_service(project, tmp_path):
    done = subprocess.run([sys.executable, "-c", BUILD, tmp_path], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    archive = zipfile.ZipFile(tmp_path / done.stdout.strip())
    described = "acme_jobs-0.1.0.dist-info"

    assert {"acme_jobs/__init__.py", "acme_jobs/greet.py", "acme_jobs/welcome.py"} <= set(archive.namelist())
    assert archive.read(f"{described}/entry_points.txt").decode() == "[taskledger.tasks]\nacme-jobs=acme_jobs\n\n"


@pytest.mark.parametrize("arguments", [("check",), ("check", "--select", "I"), ("format", "--check")])
def test_it_is_in_the_style_of_ruff(project, arguments):
    ruff = Path(sys.executable).with_name("ruff")

    done = subprocess.run([ruff, *arguments, "--no-cache", "."], cwd=project, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_its_compose_file_builds_images_for_services_that_there_are(project):
    ours = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    theirs = yaml.safe_load((project / "compose.override.yml").read_text())["services"]
    kinds = {name: ours[name]["image"].partition(":")[0].removeprefix("taskledger-") for name in theirs}

    assert {name: each["image"] for name, each in theirs.items()} == {
        name: f"acme-jobs-{kind}:${{TAG:-dev}}" for name, kind in kinds.items()
    }
    assert {name: each["build"]["args"]["IMAGE"] for name, each in theirs.items()} == {
        name: ours[name]["image"] for name in theirs
    }
    whole = {name for name, each in ours.items() if str(each.get("image")).startswith("taskledger-")}
    assert whole - set(theirs) == {"sinks", "flower"}  # which import no packages


def test_its_dockerfile_uses_what_the_images_have(project):
    text = (project / "Dockerfile").read_text()

    for name in ("Dockerfile.api", "Dockerfile.worker"):
        image = (ROOT / name).read_text()
        assert "install-task-package /usr/local/bin/" in image
        assert text.splitlines()[-1] in image.splitlines()  # the user that the service runs as
    assert "install-task-package /src" in text
