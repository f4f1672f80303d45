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
from tests.deploy.settings import OF_TOOLS, known_variables
from tests.support.servers.certificates import make_secrets
from tests.support.servers.databases import ROOT

BASE, DEV, PRODUCTION = "docker-compose.yml", "deploy/compose/dev.yml", "deploy/compose/production.yml"
OURS = ("api", "stream", "worker", "dispatcher", "sinks", "flower", "migrate", "demo-orders")


class Loader(yaml.SafeLoader):
    """Compose's own tags mean: take what is here instead of merging."""


Loader.add_constructor("!reset", lambda loader, node: None)
Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))


def unique_keys(loader, node, deep=False):
    """A mapping, unless it says one thing twice: Compose refuses that, and the library keeps the last."""
    keys = [key.value for key, _ in node.value if key.value != "<<"]
    assert len(keys) == len(set(keys)), f"{node.start_mark}: {sorted(key for key in keys if keys.count(key) > 1)}"
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, unique_keys)


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


# Of these containers themselves, whatever an operator would like: places that are mounted, ports inside, and one log.
FIXED = {
    *("DATABASE_URL", "BROKER_URL", "BROKER_CA_FILE", "HOST", "PORT"),
    *("METRICS_HOST", "WORKER_METRICS_PORT", "DISPATCHER_METRICS_PORT"),
    *("VAR_DIR", "DATA_DIR", "CSV_DIR", "METRICS_DIR", "LOG_FILE", "LOG_FILE_BYTES", "LOG_FILE_BACKUPS"),
}
OF_SETUP = {"ADMIN_EMAIL", "ADMIN_PASSWORD", "ADMIN_API_KEY"}  # only `migrate` is told


def test_every_setting_can_be_given_in_the_environment_file():
    ours = {name for name in known_variables() - OF_TOOLS if not name.endswith("_FILE")}
    passed = {
        name
        for service in ("api", "worker", "migrate")
        for name, value in services(BASE)[service]["environment"].items()
        if value is None or f"${{{name}:" in str(value)
    }

    assert ours - FIXED == passed - {"WEB_CONCURRENCY"}
    assert OF_SETUP & services(BASE)["worker"]["environment"].keys() == set()


def test_the_environment_file_is_nothing_for_git():
    done = subprocess.run(["git", "check-ignore", ".env", "deploy/compose/secrets/secret_key"], cwd=ROOT)

    assert done.returncode == 0


def test_no_limit_stands_in_two_places():
    """Compose refuses a file where `deploy` and a limit of the service itself differ; what is unset differs, too."""
    both = [
        name
        for file in (BASE, DEV, PRODUCTION)
        for name, content in services(file).items()
        if "limits" in content.get("deploy", {}).get("resources", {})
    ]

    assert both == []


def test_no_service_asks_for_a_fixed_number_of_processors():
    """Docker refuses more than the host has, and nobody knows how many that are."""
    asked = {name: str(content.get("cpus", "")) for name, content in services(PRODUCTION).items()}

    assert {name: each for name, each in asked.items() if each and not each.endswith("_CPUS:-0}")} == {}


def test_rabbitmq_is_nobody_else_from_the_first_moment():
    assert services(BASE)["rabbitmq"]["user"] == "rabbitmq"


def test_nginx_depends_on_nothing_that_is_replaced():
    assert "depends_on" not in services(PRODUCTION)["nginx"]


def test_the_superuser_is_nobody_whom_the_service_could_be():
    postgres = services(BASE)["postgres"]["environment"]
    script = (ROOT / "deploy" / "postgres" / "10-taskledger.sh").read_text()

    assert postgres["POSTGRES_USER"] == "postgres"
    assert 'ALTER ROLE :"superuser" PASSWORD NULL' in script


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

    urls = {services(BASE)[name].get("environment")["ARTIFACTS_URL"] for name in used}
    [place] = {re.search(r"file://([^}]+)", url)[1] for url in urls}
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
    text = text.replace("/run/secrets/", f"{secrets}/").replace("/tmp/taskledger/", f"{tmp_path}/taskledger/")
    written = (ROOT / "deploy" / "nginx" / "start.sh").read_text().replace("/tmp/taskledger", f"{tmp_path}/taskledger")
    subprocess.run(["sh", "-c", written.replace("exec nginx", "exec true")], check=True, timeout=30)
    text = text.replace("    http2 on;\n", "")  # since nginx 1.25.1; Debian's may be older
    (tmp_path / "nginx.conf").write_text(text)

    done = subprocess.run(
        ["nginx", "-t", "-c", tmp_path / "nginx.conf", "-p", tmp_path], capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 0, done.stderr
