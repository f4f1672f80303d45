"""The images: who they run as, what they say of themselves, and what a health check costs."""

import json

import pytest

from tests.containers.installation import installed

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

NAMES = ("api", "worker")
VERSION, REVISION = "1.2.3", "0123456789abcdef0123456789abcdef01234567"
MAX_BYTES = 600_000_000  # of the whole image; what we add to the base is measured by `make images`


@pytest.fixture(scope="module")
def built(folder):
    """Both images, built as the page says."""
    with installed(folder / "images", "taskledger-images", REVISION=REVISION, VERSION=VERSION) as installation:
        installation.compose("build")
        yield installation


@pytest.fixture(params=NAMES)
def image(request, built):
    return f"taskledger-{request.param}:{built.project}"


def inside(built, image, *command):
    return built.run("docker", "run", "--rm", "--read-only", "--entrypoint", command[0], image, *command[1:])


def test_they_run_as_a_user_and_a_group_that_have_names(built, image):
    assert inside(built, image, "id").strip() == "uid=10001(taskledger) gid=10001(taskledger) groups=10001(taskledger)"


def test_their_labels_say_version_and_revision(built, image):
    [found] = json.loads(built.run("docker", "image", "inspect", image))
    labels = found["Config"]["Labels"]

    assert labels["org.opencontainers.image.revision"] == REVISION
    assert labels["org.opencontainers.image.version"] == VERSION
    assert found["Size"] < MAX_BYTES


def test_each_lists_its_own_packages(built, image):
    document = json.loads(inside(built, image, "cat", "/usr/share/doc/taskledger/sbom.cdx.json"))
    listed = {each["purl"].partition("@")[0] for each in document["components"]}

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert listed >= {"pkg:pypi/celery", "pkg:pypi/flask", "pkg:deb/debian/tini", "pkg:deb/debian/libc6"}
    assert ("pkg:pypi/duckdb" in listed) == ("worker" in image)


def test_a_health_check_of_the_api_takes_next_to_no_processor_time(built):
    image = f"taskledger-api:{built.project}"
    script = (
        "import resource, subprocess\n"
        "subprocess.run(['python', '-ISE', 'is_live.py', '8000', '/health/live'])\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)"
    )

    assert float(inside(built, image, "python", "-c", script)) < 0.15  # a tenth of it where nothing else runs


@pytest.mark.parametrize(("memory", "cpus", "children"), [("1g", "2", 2), ("520m", "2", 1), ("4g", "0.5", 1)])
def test_a_worker_has_as_many_children_as_its_container_may_carry(built, memory, cpus, children):
    image = f"taskledger-worker:{built.project}"
    limits = ("--memory", memory, "--cpus", cpus)
    script = "import app.capacity as c; print(c.worker_slots_here(), c.memory_limit())"

    said = built.run("docker", "run", "--rm", *limits, "--entrypoint", "python", image, "-c", script).split()

    assert int(said[0]) == children
    assert int(said[1]) < 5 << 30
