"""A project of `tledger init` in the images: its task types run in containers, beside those of the service."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from taskledger_sdk.project.files import files
from tests.containers.installation import Installation, installed

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

EMAIL, PASSWORD = "admin@example.com", "three random words"
PROJECT = "taskledger-package"


def write(folder: Path) -> Path:
    """The project as `tledger init acme-jobs` writes it."""
    for path, text in files("acme-jobs").items():
        file = folder / "acme-jobs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "acme-jobs"


@pytest.fixture(scope="module")
def project(folder) -> Path:
    return write(folder)


@pytest.fixture(scope="module")
def adopted(folder, project) -> Iterator[Installation]:
    """The plain file with the project's own laid over it, as its README says."""
    with installed(folder / "package", PROJECT, ADMIN_EMAIL=EMAIL, ADMIN_PASSWORD=PASSWORD) as installation:
        installation.compose("build", "api", "worker")  # the images that the project's stand on
        overlay = f"COMPOSE_FILE=docker-compose.yml:{project}/compose.override.yml\nPROJECT={project}\n"
        env = installation.folder / ".env"
        env.write_text(env.read_text() + overlay)
        installation.compose("up", "--build", "--detach")
        installation.wait_until_healthy("api", "worker", "dispatcher", "postgres", "rabbitmq")
        body = {"email": EMAIL, "password": PASSWORD}
        answer = requests.post(f"{installation.url}/api/v1/auth/login", json=body, timeout=30)
        installation.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield installation


def test_a_task_of_the_project_and_one_of_ours_are_completed(adopted):
    theirs = adopted.ended(adopted.submit("acme_jobs.greet", {"name": "Ann"}))
    ours = adopted.ended(adopted.submit("reverse_string", "hello"))

    assert (theirs["status"], theirs["result"]) == ("COMPLETED", {"greeting": "Hello, Ann!"})
    assert ours["result"] == "olleh"


def test_its_processes_are_still_those_of_the_plain_user(adopted):
    users = {
        name: adopted.run("docker", "exec", adopted.containers(name)[0], "id", "-u").strip()
        for name in ("api", "worker")
    }

    assert users == {"api": "10001", "worker": "10001"}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("def handler(:\n", "acme_jobs.broken cannot be imported (acme_jobs/broken.py, line 1): SyntaxError"),
        ("import tasks.registry\n", "broken.py, line 1: imports tasks.registry, which is the service's own"),
    ],
)
def test_a_package_that_cannot_be_used_fails_the_build(adopted, tmp_path, broken, said):
    project = write(tmp_path)
    (project / "acme_jobs" / "broken.py").write_text(broken)

    with pytest.raises(AssertionError) as fault:
        adopted.run("docker", "build", "--build-arg", f"IMAGE=taskledger-worker:{PROJECT}", str(project))

    assert said in str(fault.value)


def test_a_package_that_needs_another_version_of_ours_is_refused(adopted, tmp_path):
    project = write(tmp_path)
    text = (project / "pyproject.toml").read_text()
    assert "dependencies = [" in text
    (project / "pyproject.toml").write_text(text.replace("dependencies = [", 'dependencies = ["celery<5", ', 1))

    with pytest.raises(AssertionError) as fault:
        adopted.run("docker", "build", "--build-arg", f"IMAGE=taskledger-worker:{PROJECT}", str(project))

    assert "celery" in str(fault.value)
