"""The Helm chart: what it makes of ordinary and unusual values is valid, whole and hardened; wrong ones are refused."""

import json
import re
from collections.abc import Mapping
from functools import cache
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import yaml

from app.config import load
from app.version import VERSION
from tasks.brokers import BY_SCHEME
from tests.deploy.kubernetes import CHART, assert_valid, helm_template, objects_of, program, run
from tests.deploy.settings import known_variables
from tests.support.servers.databases import ROOT

VERSIONS = ("1.30", "1.37")
GIVEN = {"DATABASE_URL": "postgresql://u@db/ledger", "BROKER_URL": "amqp://mq//", "APP_ENV": "development"}
HOOK = "helm.sh/hook"
SECRETS = {
    "secret_key": "a" * 32,
    "payload_keys": "",
    "flower_basic_auth": "somebody:secret",
    "admin_password": "three random words",
    "admin_api_key": "tl_key",
}
OWN_SECRET = {
    "secrets": {"create": True, "values": SECRETS},
    "database": {"url": "postgresql://u:p@db/ledger?sslmode=verify-full"},
    "broker": {"url": "amqps://u:p@mq//"},
}
EVERYTHING: dict[str, Any] = {
    **OWN_SECRET,
    "image": {"registry": "registry.example.com/team", "tag": "1.2.3", "pullSecrets": ["registry"]},
    "broker": {"url": "nats://u:p@one,two", "kind": "nats", "verifyWithOwnAuthority": True},
    "artifacts": {"url": "s3://bucket/prefix"},
    "settings": {"TRUSTED_PROXIES": "10.0.0.0/8", "ARTIFACT_MAX_BYTES": 104857600},
    "worker": {"autoscaling": {"kind": "keda", "min": 0}, "disruption": None},
    "workers": {"reports": {"queues": ["reports"], "concurrency": 2, "replicas": 1, "autoscaling": {"kind": "none"}}},
    "ingress": {
        "enabled": True,
        "className": "traefik",
        "hosts": ["a.example.com", "b.example.com"],
        "tlsSecret": "tls",
    },
    "networkPolicies": {
        "apiFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "egress": [{"ports": [{"protocol": "TCP", "port": 4317}]}],
    },
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/ledger"}},
    "podAnnotations": {"example.com/team": "ledger"},
    "podLabels": {"team": "ledger"},
    "priorityClassName": "important",
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "batch", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "envFrom": [{"secretRef": {"name": "bucket"}}],
}
PLAIN = {"migration": {"hook": False}, "artifacts": {"volume": {"existingClaim": "files", "storageClass": "nfs"}}}
VALUES: dict[str, dict[str, Any]] = {"defaults": {}, "own secret": OWN_SECRET, "everything": EVERYTHING, "plain": PLAIN}


@cache
def _rendered(values: str, release: str) -> str:
    with NamedTemporaryFile("w", prefix="taskledger-values-", suffix=".json") as file:
        file.write(values)
        file.flush()
        return helm_template("--values", file.name, release=release)


def rendered(values: Mapping[str, Any], release: str = "taskledger") -> str:
    """What Helm makes of these values."""
    return _rendered(json.dumps(values), release)


def objects(values: Mapping[str, Any], *kinds: str, release: str = "taskledger") -> list[dict[str, Any]]:
    """All objects of these kinds, by default of all; the one that `helm test` runs is none of them."""
    made = [each for each in objects_of(rendered(values, release)) if hook_of(each) != "test"]
    return [each for each in made if not kinds or each["kind"] in kinds]


def hook_of(each: Mapping[str, Any]) -> str:
    return str(each["metadata"].get("annotations", {}).get(HOOK, ""))


def named(values: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in objects(values, kind) if each["metadata"]["name"] == name]
    return found


def pods(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The pods of everything that runs, by name."""
    made = objects(values, "Deployment", "Job")
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in made}


def references(pod: Mapping[str, Any]) -> set[tuple[str, str]]:
    """What a pod cannot start without."""
    found = {("ServiceAccount", pod["serviceAccountName"])}
    for container in pod["containers"]:
        found |= {
            ("ConfigMap", each["configMapRef"]["name"]) for each in container["envFrom"] if "configMapRef" in each
        }
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", ()):
            found.add(("Secret", source["secret"]["name"]))
        if "persistentVolumeClaim" in volume:
            found.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    return found


@pytest.fixture(params=VALUES.values(), ids=[name.replace(" ", "-") for name in VALUES])
def values(request):
    return request.param


def test_helms_own_linter_has_nothing_to_say():
    said = run(program("helm"), "lint", "--strict", CHART)

    assert "[WARNING]" not in said
    assert "[ERROR]" not in said


def test_the_chart_installs_the_version_of_this_project():
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == VERSION


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_strict_schema_of_its_kind(values, version, tmp_path):
    assert_valid(rendered(values), version, tmp_path)


def test_everything_that_is_named_is_there_or_was_there_before(values):
    there = {(each["kind"], each["metadata"]["name"]) for each in objects(values)}
    there |= {("Secret", "taskledger"), ("PersistentVolumeClaim", "files")}

    for name, pod in pods(values).items():
        assert references(pod) <= there, name


def test_no_container_runs_as_root_or_writes_outside_its_volumes(values):
    for name, pod in pods(values).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


def test_the_settings_are_ones_that_somebody_reads(values):
    for config in objects(values, "ConfigMap"):
        assert set(config["data"]) - known_variables() == set()
        plain = {name: value for name, value in config["data"].items() if not name.endswith("_FILE")}
        load(plain | GIVEN)


def test_a_migration_finds_everything_it_needs_although_nothing_of_the_release_is_there_yet():
    hooks = [each for each in objects(OWN_SECRET) if hook_of(each)]
    there = {(each["kind"], each["metadata"]["name"]) for each in hooks}
    [job] = [each for each in hooks if each["kind"] == "Job"]
    weights = {each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks}

    assert {hook_of(each) for each in hooks} == {"pre-install,pre-upgrade"}
    assert references(job["spec"]["template"]["spec"]) <= there
    assert max(weights, key=weights.__getitem__) == "Job"


def test_a_migration_has_the_settings_of_the_new_version():
    wanted = named(EVERYTHING, "ConfigMap", "taskledger")["data"]

    assert named(EVERYTHING, "ConfigMap", "taskledger-migrate")["data"] == wanted


def test_pods_of_the_old_version_go_on_until_the_new_ones_are_ready():
    for each in objects({}, "Deployment"):
        if each["metadata"]["name"] not in ("taskledger-sinks", "taskledger-flower"):
            assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_secret_outlives_the_release_because_it_has_the_keys_of_what_is_encrypted():
    secret = named(OWN_SECRET, "Secret", "taskledger")

    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert set(secret["stringData"]) == {*SECRETS, "database_url", "broker_url"}
    assert objects({}, "Secret") == []


def test_a_setting_may_lie_in_the_secret_of_an_operator():
    values = {
        "secrets": {
            "settings": {
                "DATABASE_URL": {"name": "ledger-app", "key": "uri"},
                "SMTP_URL": {"name": "mail-relay", "key": "url"},
            }
        }
    }
    config = named(values, "ConfigMap", "taskledger")["data"]
    [volume] = [each for each in pods(values)["taskledger-worker"]["volumes"] if each["name"] == "secrets"]
    files = {
        item["path"]: (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }

    assert files["database_url"] == ("ledger-app", "uri")
    assert files["smtp_url"] == ("mail-relay", "url")
    assert files["broker_url"] == ("taskledger", "broker_url")
    assert config["SMTP_URL_FILE"] == "/run/secrets/taskledger/smtp_url"


def test_each_process_sees_the_secrets_that_it_reads_and_no_more(values):
    more = {
        "taskledger-flower": {"flower_basic_auth"},
        "taskledger-migrate": {"admin_password", "admin_api_key"},
    }
    for name, pod in pods(values).items():
        [volume] = [each for each in pod["volumes"] if each["name"] == "secrets"]
        seen = {item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]}
        common = {"secret_key", "payload_keys", "database_url", "broker_url", "ca.pem"}
        assert seen == common | more.get(name, set()), name


@pytest.mark.parametrize(
    ("broker", "ports"),
    [
        ({"kind": "rabbitmq"}, {5671, 5672}),
        ({"kind": "valkey"}, {6379}),
        ({"kind": "nats"}, {4222}),
        ({"kind": "nats", "ports": [14222]}, {14222}),
    ],
    ids=["rabbitmq", "valkey", "nats", "another-port"],
)
def test_the_network_lets_through_the_ports_of_the_broker(broker, ports):
    out = named({"broker": broker}, "NetworkPolicy", "taskledger-out")["spec"]
    [rule] = out["egress"]

    assert {each["port"] for each in rule["ports"]} == {53, 5432, 443} | ports


@pytest.mark.parametrize("scheme", BY_SCHEME)
def test_the_url_of_every_broker_is_accepted(scheme):
    values = {**OWN_SECRET, "broker": {"url": f"{scheme}://one"}}

    assert named(values, "Secret", "taskledger")["stringData"]["broker_url"] == f"{scheme}://one"


def test_workers_with_queues_of_their_own_are_a_deployment_of_their_own():
    values = {"workers": {"reports": {"queues": ["reports", "exports"], "concurrency": 2}}}
    reports = named(values, "Deployment", "taskledger-worker-reports")
    arguments = reports["spec"]["template"]["spec"]["containers"][0]["args"]
    out = named(values, "NetworkPolicy", "taskledger-out")["spec"]["podSelector"]

    assert arguments[-4:] == ["--concurrency", "2", "--queues", "reports,exports"]
    assert out["matchExpressions"][0]["values"] == ["taskledger-worker", "taskledger-worker-reports"]
    assert "--queues" not in pods(values)["taskledger-worker"]["containers"][0]["args"]


def scalers(values: Mapping[str, Any]) -> dict[str, set[str]]:
    made = objects(values, "HorizontalPodAutoscaler", "ScaledObject")
    return {each["spec"]["scaleTargetRef"]["name"]: {each["kind"]} for each in made}


@pytest.mark.parametrize(
    ("kind", "expected", "replicas"),
    [("hpa", {"HorizontalPodAutoscaler"}, None), ("keda", {"ScaledObject"}, None), ("none", None, 5)],
)
def test_whoever_is_scaled_has_no_number_of_copies_that_an_upgrade_would_reset(kind, expected, replicas):
    values = {"worker": {"replicas": 5, "autoscaling": {"kind": kind}}}

    assert scalers(values).get("taskledger-worker") == expected
    assert named(values, "Deployment", "taskledger-worker")["spec"].get("replicas") == replicas


def test_keda_scales_as_the_example_for_kustomize_does():
    example = {
        each["kind"]: each["spec"]
        for each in objects_of((ROOT / "deploy/keda/worker-scaledobject.yaml").read_text())
        if "spec" in each
    }
    values = {"worker": {"autoscaling": {"kind": "keda", "min": 1}}}
    made = {each["kind"]: each["spec"] for each in objects(values, "ScaledObject", "TriggerAuthentication")}

    made["ScaledObject"]["triggers"][0]["authenticationRef"]["name"] = "taskledger-scaler"
    url = made["ScaledObject"]["triggers"][0]["metadata"]
    url["url"] = url["url"].replace("taskledger-api.apart:", "taskledger-api:")
    assert made == example


def test_one_copy_has_no_budget_that_would_keep_a_node_from_being_drained():
    budgets = {each["metadata"]["name"] for each in objects({"dispatcher": {"replicas": 1}}, "PodDisruptionBudget")}

    assert budgets == {"taskledger-api", "taskledger-stream", "taskledger-worker"}


def test_two_releases_beside_each_other_share_nothing():
    first, second = objects({}, release="one"), objects({}, release="two")
    names = [{(each["kind"], each["metadata"]["name"]) for each in made} for made in (first, second)]
    made = [each for each in (*first, *second) if each["kind"] == "Deployment"]
    selectors = {json.dumps(each["spec"]["selector"]) for each in made}

    assert names[0] & names[1] == set()
    assert len(selectors) == len(made)


def test_an_ingress_of_any_class_keeps_metrics_from_the_world():
    ingress = named(EVERYTHING, "Ingress", "taskledger")["spec"]
    closed = named(EVERYTHING, "Service", "taskledger-closed")["spec"]

    assert ingress["ingressClassName"] == "traefik"
    for rule in ingress["rules"]:
        [way] = [each for each in rule["http"]["paths"] if each["path"] == "/metrics"]
        assert (way["pathType"], way["backend"]["service"]["name"]) == ("Exact", "taskledger-closed")
    assert "selector" not in closed


def test_a_change_of_settings_replaces_the_pods():
    def sums(values):
        made = objects(values, "Deployment")
        return {each["spec"]["template"]["metadata"]["annotations"]["checksum/settings"] for each in made}

    before, after = sums({}), sums({"settings": {"LOG_LEVEL": "WARNING"}})
    assert len(before) == len(after) == 1
    assert before != after


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"brokers": {}}, r"'brokers' not allowed"),
        ({"worker": {"concurency": 3}}, r"at '/worker': .*'concurency' not allowed"),
        ({"broker": {"kind": "kafka"}}, r"at '/broker/kind': value must be one of 'rabbitmq', 'valkey', 'nats'"),
        ({"broker": {"url": "amqps://mq//"}}, r"at '/broker/url'"),  # nobody would read it
        ({**OWN_SECRET, "broker": {"url": "kafka://mq"}}, r"at '/broker/url': .*does not match pattern"),
        ({"secrets": {"create": True}}, r"missing properties 'secret_key'"),
        ({"settings": {"DATABASE_URL": "postgresql://u:p@db/ledger"}}, r"at '/settings/DATABASE_URL'"),
        ({"ingress": {"annotations": {"nginx.ingress.kubernetes.io/server-snippet": "x"}}}, r"'nginx.*-snippet'"),
        ({"worker": {"autoscaling": {"min": 0}}}, r"at '/worker/autoscaling/min': minimum: got 0, want 1"),
        (
            {"settings": {"SMTP_URL": "smtp://one"}, "secrets": {"settings": {"SMTP_URL": {"name": "a", "key": "b"}}}},
            r"settings.SMTP_URL and secrets.settings.SMTP_URL both say",
        ),
    ],
    ids=[
        "name",
        "typing-error",
        "broker",
        "url-for-nobody",
        "scheme",
        "no-secrets",
        "secret-setting",
        "snippet",
        "zero",
        "two",
    ],
)
def test_values_that_cannot_be_meant_are_refused_and_named(values, said):
    with pytest.raises(AssertionError) as refused:
        rendered(values)

    assert re.search(said, str(refused.value))


SHOWN = [
    (path.name, text)
    for path in sorted((ROOT / "docs" / "how-to").glob("*.md"))
    for text in re.findall(r"^```yaml\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
]
OF_GITHUB = [("change-a-payload.md", ["jobs"])]  # pages with a workflow of GitHub Actions, and the keys at its top
DOCUMENTED = [(name, text) for name, text in SHOWN if (name, list(yaml.safe_load(text))) not in OF_GITHUB]


@pytest.mark.parametrize("text", [text for _, text in DOCUMENTED], ids=[name for name, _ in DOCUMENTED])
def test_the_values_that_the_documents_show_are_accepted(text, tmp_path):
    assert_valid(rendered(yaml.safe_load(text)), VERSIONS[-1], tmp_path)


def test_what_is_no_values_in_the_documents_is_what_this_file_says():
    others = [(name, list(yaml.safe_load(text))) for name, text in SHOWN if (name, text) not in DOCUMENTED]

    assert others == OF_GITHUB


def test_every_value_is_explained_or_explains_itself_and_is_in_the_schema():
    """What the schema allows stands in values.yaml, and what stands there is in the schema."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert set(schema["properties"]) - {"global"} == set(values)
    for name, below in values.items():
        known = schema["properties"][name].get("properties")
        if isinstance(below, dict) and known and name != "settings":
            assert set(known) == set(below), name
