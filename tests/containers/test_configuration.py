"""Compose accepts every combination of files that the documents name, and what it makes of them is what was meant."""

import json

import pytest

from tests.containers.installation import PRODUCTION_PORTS

pytestmark = [pytest.mark.containers, pytest.mark.timeout(120)]

BASE, DEV, PRODUCTION = "docker-compose.yml", "deploy/compose/dev.yml", "deploy/compose/production.yml"
COMBINATIONS = {
    "plain": ["-f", BASE],
    "development": ["-f", BASE, "-f", DEV],
    "production": ["-f", BASE, "-f", PRODUCTION],
    "monitoring": ["-f", BASE, "-f", PRODUCTION, "--profile", "monitoring"],
}
OURS = ("taskledger-api", "taskledger-worker")


def made_of(installation, name):
    """What Compose makes of these files."""
    return json.loads(installation.compose(*COMBINATIONS[name], "config", "--format", "json"))


@pytest.mark.parametrize("name", COMBINATIONS)
def test_compose_accepts_the_files(configured, name):
    configured.compose(*COMBINATIONS[name], "config", "--quiet")


@pytest.mark.parametrize("name", COMBINATIONS)
def test_each_image_is_built_by_one_service(configured, name):
    services = made_of(configured, name)["services"].values()
    ours = [each for each in services if each["image"].startswith(OURS)]

    builders = sorted(each["image"] for each in ours if "build" in each)

    assert len(ours) > len(builders) == len(set(builders)) == 2


@pytest.mark.parametrize("name", ["production", "monitoring"])
def test_production_needs_no_number_of_processors_and_limits_memory_and_processes(configured, name):
    services = {key: each for key, each in made_of(configured, name)["services"].items() if key != "migrate"}

    assert {key for key, each in services.items() if float(each.get("cpus") or 0)} == set()
    assert {key for key, each in services.items() if not (each.get("mem_limit") and each.get("pids_limit"))} == set()


def test_limits_of_processors_and_numbers_of_containers_come_from_the_environment_file(configured):
    path = configured.folder / ".env"
    before = path.read_text()
    path.write_text(before + "WORKER_CPUS=1.5\nWORKER_CONTAINERS=5\nWORKER_MEMORY=3g\n")
    try:
        worker = made_of(configured, "production")["services"]["worker"]
    finally:
        path.write_text(before)

    replicas = int(worker["deploy"]["replicas"])
    assert (float(worker["cpus"]), replicas, int(worker["mem_limit"])) == (1.5, 5, 3 << 30)


def test_only_ports_of_nginx_and_of_the_loopback_address_are_published(configured):
    services = made_of(configured, "monitoring")["services"]
    published = {(key, port["host_ip"]) for key, each in services.items() for port in each.get("ports", ())}

    assert {key for key, address in published if address != "127.0.0.1"} == {"nginx"}
    assert {str(port["published"]) for port in services["nginx"]["ports"]} == {
        str(configured.ports[name]) for name in PRODUCTION_PORTS[:2]
    }
