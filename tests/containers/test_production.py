"""The production overlay, begun with an older version: upgraded under traffic, examined, scaled, replaced, restored."""

import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests

from tests.containers import documented
from tests.containers.installation import Installation, installed
from tests.containers.traffic import Traffic
from tests.support.servers.databases import ROOT
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

OLD = "11d56aaab9e52435b97a74044c1c677009dfb5e2"  # its tables are seven migrations older
PROJECT = "taskledger-production"
PER_SECOND = 50
MAX_SECONDS = 2.0
QUIET_SECONDS = 15
# What this machine is, not what the overlay makes of it.
OF_THIS_MACHINE = {"disk"}


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def old_version() -> str:
    """The commit to upgrade from: OLD, or the oldest that a shallow clone has."""
    if subprocess.run(["git", "cat-file", "-e", f"{OLD}^{{commit}}"], cwd=ROOT, capture_output=True).returncode == 0:
        return OLD
    oldest = git("rev-list", "--max-parents=0", "HEAD").decode().split()[-1]
    print(f"{OLD} is not in this clone: the upgrade begins at {oldest}, the oldest commit there is")
    return oldest


def build_old(installation: Installation, folder: Path) -> None:
    """The images of the old version, under the names that this installation uses."""
    with tarfile.open(fileobj=BytesIO(git("archive", old_version()))) as files:
        files.extractall(folder, filter="data")
    for image in ("api", "worker"):
        name = f"taskledger-{image}:{PROJECT}"
        installation.run(
            "docker", "build", "--quiet", "--tag", name, "--file", f"{folder}/Dockerfile.{image}", str(folder)
        )


@pytest.fixture(scope="module")
def production(folder) -> Iterator[Installation]:
    """One server in production, of the old version, started as the page says."""
    with installed(folder / "production", PROJECT, RATE_LIMIT_CREATE="") as installation:
        installation.url = f"https://localhost:{installation.ports['HTTPS_PORT']}"
        build_old(installation, folder / "old")
        installation.follow(documented.block("deploy-with-compose", "python3 deploy/compose/make_secrets.py"))
        installation.follow(documented.block("deploy-with-compose", "echo 'COMPOSE_FILE="))
        # all but the build, which is the upgrade below
        up = [line for line in documented.block("deploy-with-compose", "docker compose build") if "up -d" in line]
        installation.follow(up)
        secrets = installation.folder / "deploy" / "compose" / "secrets"
        installation.http.verify = str(secrets / "ca.pem")
        installation.http.headers["Authorization"] = f"Bearer {(secrets / 'admin_api_key').read_text().strip()}"
        installation.wait_until_healthy("nginx", "api", "stream", "worker", "dispatcher", "postgres", "rabbitmq")
        wait_for(lambda: answers(installation), timeout=60, what="nginx finds the API")
        yield installation


def answers(production: Installation) -> bool:
    try:
        return production.http.get(f"{production.url}/health/live", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def traffic(production: Installation) -> Traffic:
    headers = {"Authorization": str(production.http.headers["Authorization"])}
    return Traffic(production.url, per_second=PER_SECOND, headers=headers, verify=str(production.http.verify))


def image_of(production: Installation, service: str) -> set[str]:
    return {production.inspect(each)["Image"] for each in production.containers(service)}


def age(production: Installation, service: str) -> tuple[str, str]:
    [container] = production.containers(service)
    return container, production.inspect(container)["State"]["StartedAt"]


def test_an_upgrade_under_traffic_refuses_loses_and_doubles_nothing(production):
    services = ("api", "stream", "worker", "dispatcher", "sinks")
    before = {name: image_of(production, name) for name in services}
    untouched = {name: age(production, name) for name in ("nginx", "postgres", "rabbitmq")}
    block = documented.block("upgrade", "sh deploy/compose/roll.sh migrate")
    [build, *rest] = block
    # The old version counts nothing: now and then its counting in memory answers with 500 (app/web/rate_counts.py).
    env = production.folder / ".env"
    env.write_text(env.read_text().replace("RATE_LIMIT_CREATE=\n", "RATE_LIMIT_CREATE=60000 per minute\n"))
    production.follow([build])
    with traffic(production) as quiet:
        time.sleep(QUIET_SECONDS)

    with production.followed("api", "postgres") as logs, traffic(production) as upgrade:
        said = production.follow([line for line in rest if "doctor" not in line])
    doctor = production.run("bash", "-c", rest[-1], check=False)
    documented.run.add(rest[-1])

    print(
        f"{len(upgrade.accepted)} accepted at {upgrade.rate:.1f} a second, {len(upgrade.refused)} refused; longest "
        f"{upgrade.longest:.2f} s after {upgrade.longest_after:.0f} s, before the upgrade {quiet.longest:.2f} s\n{said}"
    )
    for container, path in logs.items():
        unusual = [
            line for line in path.read_text().splitlines() if '"level": "info"' not in line and " LOG: " not in line
        ]
        print(f"-- {container[:12]}", *unusual[-30:], sep="\n")
    assert (quiet.refused, upgrade.refused) == ([], [])
    assert upgrade.rate > PER_SECOND * 0.9
    production.wait_until_completed([*quiet.accepted, *upgrade.accepted])
    assert production.sql("SELECT count(*) FROM tasks") == [[str(len(quiet.accepted) + len(upgrade.accepted))]]
    after = {name: image_of(production, name) for name in services}
    assert all(len(after[name]) == 1 and not after[name] & before[name] for name in services)
    assert {name: age(production, name) for name in untouched} == untouched
    assert "migrations" in doctor
    # on a machine that is busy with something else a request takes long without any upgrade
    assert upgrade.longest < max(MAX_SECONDS, 3 * quiet.longest)


def test_what_was_upgraded_is_up_to_date_for_compose(production):
    services = ("api", "stream", "worker", "dispatcher", "sinks", "nginx", "postgres", "rabbitmq")
    before = {name: production.containers(name) for name in services}

    production.compose("up", "-d")

    assert {name: production.containers(name) for name in services} == before


def test_the_documented_backup_is_restored_and_the_service_answers_again(production, tmp_path):
    kept = production.submit("reverse_string", "kept")
    assert production.ended(kept)["status"] == "COMPLETED"
    here = {"sudo ": "", "/srv/backups": str(tmp_path / "backups")}

    production.follow(documented.block("back-up", "sudo install"), here=here)
    lost = production.submit("reverse_string", "submitted after the backup")
    production.follow(documented.block("back-up", "docker compose stop"), here=here)

    wait_for(lambda: answers(production), timeout=60, what="nginx finds the API again")
    assert production.task(kept)["status"] == "COMPLETED"
    assert production.http.get(f"{production.url}/api/v1/tasks/{lost}", timeout=10).status_code == 404
    again = production.submit("reverse_string", "after the restore")
    assert production.ended(again)["status"] == "COMPLETED"


def test_the_doctor_finds_no_fault(production, tmp_path):
    here = {"sudo ": "", "/srv/backups": str(tmp_path / "backups")}
    production.follow(documented.block("back-up", "sudo install"), here=here)

    # not at once: dispatcher and workers have just been started
    def found() -> dict:
        time.sleep(2)
        said = production.compose("exec", "-T", "api", "flask", "--app", "app", "doctor", "--json", check=False)
        return json.loads(said[said.index("{") :])

    def without_faults() -> dict | None:
        answer = found()
        return answer if not [each for each in answer["findings"] if each["state"] == "fault"] else None

    try:
        answer = wait_for(without_faults, timeout=90, what="no fault is left")
    except AssertionError:
        pytest.fail(str([each for each in found()["findings"] if each["state"] == "fault"]))
    warnings = {each["point"]: each for each in answer["findings"] if each["state"] == "warning"}
    # requests are counted in each process, which is a decision that an operator takes: docs/reference/settings.md
    assert set(warnings) - OF_THIS_MACHINE <= {"rate limits"}, warnings


def test_the_services_role_is_no_superuser_and_makes_the_roles_for_sql(production):
    attributes = production.sql("SELECT rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = 'taskledger'")
    production.compose("exec", "-T", "api", "flask", "--app", "app", "sql-roles", "create")

    assert attributes == [["f", "f", "f"]]
    assert production.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'taskledger\\_%'") == [["2"]]


def test_a_browser_that_comes_over_plain_http_is_sent_on_to_the_port_that_is_published(production):
    port = production.ports["HTTP_PORT"]

    page = requests.get(f"http://localhost:{port}/tasks?limit=1", allow_redirects=False, timeout=10)
    programs = requests.get(f"http://localhost:{port}/api/v1/tasks?limit=1", allow_redirects=False, timeout=10)

    assert (page.status_code, page.headers["Location"]) == (308, f"{production.url}/tasks?limit=1")
    assert (
        programs.json()["code"] == "https_required"
    )  # an API key has travelled in the open: nobody is to get used to it


def served_by(production: Installation, since: float) -> set[str]:
    """Addresses of the containers that have answered, by the log of nginx."""
    [nginx] = production.containers("nginx")
    lines = [json.loads(line) for line in production.logs(nginx) if line.startswith("{")]
    recent = [
        each for each in lines if each["status"] == 200 and each["at"] >= time.strftime("%FT%T", time.gmtime(since))
    ]
    return {address for each in recent for address in each["upstream"].split(", ")}


def test_a_third_api_gets_its_share_of_requests(production):
    untouched = age(production, "nginx")
    with (production.folder / ".env").open("a") as env:
        env.write("API_CONTAINERS=3\n")
    production.compose("up", "-d")
    production.wait_until_healthy("api")
    time.sleep(2)  # until nginx has asked again

    began = time.time()
    for _ in range(60):
        assert production.http.get(f"{production.url}/health/live", timeout=10).status_code == 200

    assert len(production.containers("api")) == 3
    assert len({each for each in served_by(production, began) if each.endswith(":8000")}) == 3
    assert age(production, "nginx") == untouched


@pytest.mark.parametrize("how_many", ["one", "all"])
def test_replaced_apis_are_found_without_a_word_to_nginx(production, how_many):
    untouched = age(production, "nginx")
    gone = production.containers("api")[: 1 if how_many == "one" else None]
    addresses = [production.inspect(each)["NetworkSettings"]["Networks"] for each in gone]

    production.run("docker", "rm", "--force", *gone)
    if how_many == "one":
        seconds, statuses = ask_for(production, 6)
        assert set(statuses) == {200}
        assert seconds < MAX_SECONDS + 1  # a second until nginx asks again, one until it gives up what is gone
    production.compose("up", "-d", "api")
    production.wait_until_healthy("api")
    time.sleep(2)
    seconds, statuses = ask_for(production, 3)

    assert addresses
    assert set(statuses) == {200}
    assert seconds < MAX_SECONDS + 1
    assert age(production, "nginx") == untouched


def ask_for(production: Installation, seconds: float) -> tuple[float, list[int]]:
    """The longest request of so many seconds, and the status of each."""
    until, longest, statuses = time.monotonic() + seconds, 0.0, []
    while time.monotonic() < until:
        time.sleep(0.05)  # nginx answers an address that asks too often with 429
        began = time.monotonic()
        statuses.append(production.http.get(f"{production.url}/health/live", timeout=20).status_code)
        longest = max(longest, time.monotonic() - began)
    return longest, statuses


def test_flower_and_prometheus_of_the_monitoring_profile_run(production):
    production.compose("--profile", "monitoring", "up", "-d", "--no-deps", "flower", "prometheus")
    production.wait_until_healthy("flower", "prometheus")

    [flower] = production.containers("flower")
    assert [line for line in production.logs(flower) if line.strip() and not line.startswith("{")] == []


def test_a_database_made_anew_takes_the_backup(production, tmp_path):
    """The way to a role without a superuser's rights, for installations from before."""
    kept = production.submit("reverse_string", "kept through the removal of the volume")
    assert production.ended(kept)["status"] == "COMPLETED"
    here = {"sudo ": "", "/srv/backups": str(tmp_path / "backups")}
    production.follow(documented.block("back-up", "sudo install"), here=here)

    production.follow(documented.block("deploy-with-compose", "docker volume rm"))
    production.wait_until_healthy("api", "postgres")
    production.follow(documented.block("back-up", "docker compose stop"), here=here)

    wait_for(lambda: answers(production), timeout=60, what="nginx finds the API again")
    assert production.task(kept)["status"] == "COMPLETED"
