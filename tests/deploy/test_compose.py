"""The compose files: what they name exists, what they set is read, and what runs beside us accepts our files."""

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import unavailable
from tests.deploy.settings import known_variables
from tests.support.servers.certificates import make_secrets
from tests.support.servers.databases import ROOT

BASE, DEV, PRODUCTION = "docker-compose.yml", "deploy/compose/dev.yml", "deploy/compose/production.yml"
OURS = ("api", "stream", "worker", "dispatcher", "sinks", "flower", "migrate", "demo-orders")


class Loader(yaml.SafeLoader):
    """Compose's own tags mean: take what is here instead of merging."""


Loader.add_constructor("!reset", lambda loader, node: None)
Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))


def services(name):
    return yaml.load((ROOT / name).read_text(), Loader)["services"]


def whole(name):
    return yaml.load((ROOT / name).read_text(), Loader)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    return make_secrets(tmp_path_factory.mktemp("compose") / "secrets")


@pytest.mark.parametrize("name", [BASE, DEV, PRODUCTION])
def test_each_file_is_free_of_what_the_linter_calls_serious(name):
    command = [
        Path(sys.executable).with_name("compose-lint"),
        "check",
        name,
        "--quiet",
        "--strict-config",
        "--fail-on",
        "high",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [BASE, DEV, PRODUCTION])
def test_our_services_are_given_only_settings_that_somebody_reads(name):
    given = {
        variable
        for service, content in services(name).items()
        if service in OURS
        for variable in content.get("environment") or ()
    }

    assert given - known_variables() == set()


@pytest.mark.parametrize("name", [DEV, PRODUCTION])
def test_an_overlay_changes_services_that_there_are_or_says_what_they_run(name):
    known = services(BASE)

    assert [each for each, content in services(name).items() if each not in known and "image" not in content] == []


def test_every_file_that_production_mounts_is_there_or_made(secrets):
    content = whole(PRODUCTION)
    declared = {name: each["file"] for name, each in content["secrets"].items()}
    used = {name for service in content["services"].values() for name in service.get("secrets") or ()}
    made = {path.name for path in secrets.iterdir()}

    assert used == set(declared)
    assert {path.rpartition("/")[2] for path in declared.values()} <= made
    assert all((ROOT / each["file"]).exists() for each in content["configs"].values())


def test_production_has_no_port_but_that_of_nginx_and_those_of_the_loopback_address():
    base = {name for name, content in services(BASE).items() if content.get("ports")}
    production = services(PRODUCTION)
    open_ = {
        name: content["ports"]
        for name, content in production.items()
        if any(not port.startswith("127.0.0.1:") for port in content.get("ports") or ())
    }
    assert list(open_) == ["nginx"]
    # what the base opens is either closed or stays on the loopback address
    closed = {name for name, content in production.items() if "ports" in content and content["ports"] is None}
    assert base - closed == {"flower"}


def test_secrets_are_in_files_that_containers_can_read_in_a_folder_that_others_cannot(secrets):
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    closed = [path.name for path in secrets.iterdir() if not path.stat().st_mode & stat.S_IROTH]
    assert closed == ["ca.key"]  # which no container sees


def test_making_secrets_again_changes_nothing(secrets):
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}

    make_secrets(secrets)

    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def test_a_real_rabbitmq_takes_the_definitions_and_knows_the_user_by_its_password(rabbitmq, secrets):
    rabbitmq.ctl("import_definitions", str(secrets / "rabbitmq_definitions.json"))

    said = rabbitmq.ctl("authenticate_user", "taskledger", (secrets / "rabbitmq_password").read_text())
    policies = rabbitmq.ctl("list_policies", "--vhost", "/", "--formatter", "json")

    assert "Success" in said or said == ""
    assert '"hints"' in policies
    assert '"monitoring"' in policies


def test_the_how_to_takes_backups_in_a_service_that_sees_the_artifacts():
    page = (ROOT / "docs" / "how-to" / "back-up.md").read_text(encoding="utf-8")
    used = re.findall(r"^ *docker compose run .* (\w+) flask --app app (?:backup|restore) ", page, re.MULTILINE)

    [place] = {services(BASE)[name].get("environment")["ARTIFACTS_URL"].removeprefix("file://") for name in used}
    assert len(used) == 2
    assert all(f"artifacts:{place}" in services(BASE)[name].get("volumes", ()) for name in used)


def test_the_policy_for_hints_is_about_work_queues_only():
    [policy] = [each for each in whole("deploy/rabbitmq/definitions.json")["policies"] if each["name"] == "hints"]

    matching = [
        name for name in ("tasks", "tasks.reports", "tasks.dead", "celeryev.1") if re.match(policy["pattern"], name)
    ]
    assert matching == ["tasks", "tasks.reports"]


def test_nginx_accepts_its_configuration(secrets, tmp_path):
    if shutil.which("nginx") is None:
        unavailable("nginx: it is not installed here (on Debian: apt-get install nginx-light)")
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    text = text.replace("/run/secrets/", f"{secrets}/").replace("server api:8000", "server 127.0.0.1:8000")
    text = text.replace("server stream:8000", "server 127.0.0.1:8001")
    text = text.replace("    http2 on;\n", "")  # since nginx 1.25.1; Debian's may be older
    (tmp_path / "nginx.conf").write_text(text)

    done = subprocess.run(
        ["nginx", "-t", "-c", tmp_path / "nginx.conf", "-p", tmp_path], capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 0, done.stderr
