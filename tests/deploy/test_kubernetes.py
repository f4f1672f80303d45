"""The Kubernetes manifests: what kustomize makes of each overlay is valid, hardened, and fits the settings."""

import sys
from functools import cache

import pytest

from app.config import load
from tests.deploy.kubernetes import assert_valid, objects_of, program, run
from tests.deploy.settings import known_variables
from tests.support.servers.databases import ROOT

OVERLAYS = ("dev", "production")
VERSIONS = ("1.30", "1.37")
GIVING_BACK_SECONDS = 20  # after the grace period of the worker
GUNICORN_SECONDS = 25  # --graceful-timeout in Dockerfile.api
NOT_OURS = ("postgres", "rabbitmq")
GIVEN = {"DATABASE_URL": "postgresql://u@db/ledger", "BROKER_URL": "amqp://mq//"}


@cache
def rendered(overlay: str) -> str:
    """What `kubectl apply -k` would send."""
    return run(program("kubectl"), "kustomize", ROOT / "deploy" / "kubernetes" / "overlays" / overlay)


def objects(overlay):
    return objects_of(rendered(overlay))


def of_kind(overlay, *kinds):
    return [each for each in objects(overlay) if each["kind"] in kinds]


def workloads(overlay):
    """Name and pod of everything that runs."""
    made = of_kind(overlay, "Deployment", "Job", "StatefulSet")
    return [(each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in made]


def ours(overlay):
    return [(name, pod) for name, pod in workloads(overlay) if name not in NOT_OURS]


@pytest.fixture(params=OVERLAYS)
def overlay(request):
    return request.param


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_strict_schema_of_its_kind(overlay, version, tmp_path):
    assert_valid(rendered(overlay), version, tmp_path)


def test_the_manifests_are_what_the_chart_makes():
    program("helm")

    run(sys.executable, ROOT / "deploy" / "kubernetes" / "render.py", "--check")


def test_everything_runs_that_an_installation_needs(overlay):
    names = {name.removeprefix("taskledger-") for name, _ in ours(overlay)}

    assert names == {"api", "stream", "worker", "dispatcher", "sinks", "flower", "migrate"}


def test_no_container_of_ours_runs_as_root_or_writes_outside_its_volumes(overlay):
    for name, pod in ours(overlay):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


def test_every_container_says_what_it_needs_and_how_much_memory_it_may_take(overlay):
    for name, pod in workloads(overlay):
        for container in pod["containers"]:
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_everything_that_is_named_is_there(overlay):
    there = {(each["kind"], each["metadata"]["name"]) for each in objects(overlay)}
    if overlay == "production":
        there.add(("Secret", "taskledger"))  # made by hand, as the overlay says
    for name, pod in ours(overlay):
        wanted = {("ServiceAccount", pod["serviceAccountName"])}
        for container in pod["containers"]:
            wanted |= {("ConfigMap", each["configMapRef"]["name"]) for each in container["envFrom"]}
        for volume in pod["volumes"]:
            for source in volume.get("projected", {}).get("sources", ()):
                wanted.add(("Secret", source["secret"]["name"]))
            if "persistentVolumeClaim" in volume:
                wanted.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
        assert wanted <= there, name


COMMON = {"secret_key", "payload_keys", "database_url", "broker_url", "ca.pem"}
MORE = {
    "taskledger-flower": {"flower_basic_auth"},
    "taskledger-migrate": {"admin_password", "admin_api_key"},
}


def test_each_process_sees_the_secrets_that_it_reads_and_no_more(overlay):
    """The admin's key is not in a worker that runs everybody's handlers, whatever else lies in the Secret."""
    for name, pod in ours(overlay):
        [volume] = [each for each in pod["volumes"] if each["name"] == "secrets"]
        sources = [source["secret"] for source in volume["projected"]["sources"]]
        seen = {item["path"] for source in sources for item in source["items"]}
        assert seen == COMMON | MORE.get(name, set()), name
        assert [source["items"][0]["key"] for source in sources if source.get("optional")] == ["ca.pem"], name


def test_what_the_migration_needs_can_be_applied_before_everything_else(overlay):
    """By the label that docs/how-to/upgrade.md names; nothing that runs the new version is among it."""
    label = "app.kubernetes.io/component"
    first = [each for each in objects(overlay) if each["metadata"].get("labels", {}).get(label) == "migration"]

    wanted = {"ConfigMap", "ServiceAccount", "Job"} | ({"Namespace"} if overlay == "production" else set())
    assert {each["kind"] for each in first} == wanted
    assert f"{label}=migration" in (ROOT / "docs" / "how-to" / "upgrade.md").read_text(encoding="utf-8")


def test_the_ingress_answers_everybody_but_prometheus_without_a_snippet():
    """Controllers refuse snippets of their own language, so that nobody stands behind the way to /metrics."""
    [ingress] = of_kind("production", "Ingress")
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind("production", "Service")}

    assert [name for name in ingress["metadata"]["annotations"] if "snippet" in name] == []
    [rule] = ingress["spec"]["rules"]
    ways = {(each["path"], each["pathType"]): each["backend"]["service"]["name"] for each in rule["http"]["paths"]}
    assert ways == {
        ("/metrics", "Exact"): "taskledger-closed",
        ("/api/v1/events/stream", "Prefix"): "taskledger-stream",
        ("/api/v1/work/claim", "Exact"): "taskledger-stream",  # claims of remote workers wait as long as streams do
        ("/", "Prefix"): "taskledger-api",
    }
    assert "selector" not in services["taskledger-closed"]


def test_selectors_find_their_pods(overlay):
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(overlay, "Deployment", "StatefulSet")]
    selectors = [each["spec"]["selector"] for each in of_kind(overlay, "Service") if "selector" in each["spec"]]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(overlay, "PodDisruptionBudget")]

    assert [chosen for chosen in selectors if not any(chosen.items() <= each.items() for each in labels)] == []


def test_the_settings_are_ones_that_somebody_reads(overlay):
    [config] = of_kind(overlay, "ConfigMap")
    given = set(config["data"])
    for _, pod in ours(overlay):
        given |= {each["name"] for container in pod["containers"] for each in container.get("env", ())}

    assert given - known_variables() == set()
    plain = {name: value for name, value in config["data"].items() if not name.endswith("_FILE")}
    assert load(GIVEN | plain | {"APP_ENV": "development"}).registration in ("open", "closed")


def test_the_secret_of_the_development_overlay_has_each_file_that_a_setting_names():
    [secret] = of_kind("dev", "Secret")
    [config] = of_kind("dev", "ConfigMap")
    files = {value.rpartition("/")[2] for name, value in config["data"].items() if name.endswith("_FILE")}

    assert files <= set(secret["data"])


def test_a_worker_has_the_time_to_finish_and_to_give_back(overlay):
    [config] = of_kind(overlay, "ConfigMap")
    pods = dict(ours(overlay))

    grace = int(config["data"]["SHUTDOWN_GRACE_SECONDS"])
    assert pods["taskledger-worker"]["terminationGracePeriodSeconds"] >= grace + GIVING_BACK_SECONDS
    api = pods["taskledger-api"]
    wait = api["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert api["terminationGracePeriodSeconds"] >= wait + GUNICORN_SECONDS


def test_an_update_never_takes_the_api_or_the_dispatcher_away(overlay):
    for each in of_kind(overlay, "Deployment"):
        if each["metadata"]["name"] in ("taskledger-api", "taskledger-dispatcher", "taskledger-worker"):
            assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_who_is_scaled_has_no_number_of_replicas_that_an_apply_would_reset():
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind("production", "HorizontalPodAutoscaler")}
    fixed = {each["metadata"]["name"] for each in of_kind("production", "Deployment") if "replicas" in each["spec"]}

    assert scaled == {"taskledger-api", "taskledger-worker"}
    assert scaled & fixed == set()


def test_pods_are_closed_but_for_the_api(overlay):
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "NetworkPolicy")}

    assert "ingress" not in policies["taskledger-nobody-in"]
    assert policies["taskledger-api-in"]["ingress"] == [{"ports": [{"port": 8000, "protocol": "TCP"}]}]
    assert all(
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "taskledger"
        for each in of_kind(overlay, "Deployment", "Job")
    )
