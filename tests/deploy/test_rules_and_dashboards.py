"""What deploy/ and the page on metrics promise: names that exist, rules that promtool accepts and that fire."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from app.clock import utcnow
from app.database import Session
from app.dispatcher.measure import Measure
from app.observability import metrics
from app.services.measuring import ledger_metrics
from tests.conftest import unavailable

DEPLOY = Path("deploy")
NAME = re.compile(r"taskledger_[a-z_]+")
SUFFIX = re.compile(r"_(bucket|sum|count)$")
ROW = re.compile(r"^\| `(taskledger_\w+)` \| ([a-z, ]*?) ?\|(?: (?:API|worker|dispatcher|all) \|)? (.+) \|$", re.M)


@pytest.fixture
def families(session: Session) -> dict[str, tuple[tuple[str, ...], str]]:
    """Every metric there is, by name: its labels and what it says of itself."""
    now = utcnow()
    session.execute(ledger_metrics.sa.text("INSERT INTO duties (name, node) VALUES ('dispatch', 'here')"))
    Measure()._measure(session, now)
    found = {}
    for family in ledger_metrics.families(session, drain_seconds=60, concurrency_per_worker=4, now=now):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = tuple(getattr(family, "_labelnames", ())), family.documentation
    for collector in metrics.REGISTRY._collector_to_names:
        name = f"{collector._name}_total" if collector._type == "counter" else collector._name
        found[name] = collector._labelnames, collector._documentation
    up = {"taskledger_ledger_up": ((), "1 while the API reaches the database")}
    return found | up


def test_the_page_lists_every_metric_with_its_labels_and_no_other(families):
    page = Path("docs/reference/metrics.md").read_text(encoding="utf-8")
    listed = {name: (tuple(filter(None, labels.split(", "))), text) for name, labels, text in ROW.findall(page)}

    assert set(listed) == set(families)
    for name, (labels, text) in families.items():
        assert listed[name][0] == labels, name
        assert listed[name][1].startswith(text), name


def test_dashboard_and_rules_name_only_metrics_that_exist(families):
    dashboard = json.loads((DEPLOY / "grafana/taskledger.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    keda = (DEPLOY / "keda/worker-scaledobject.yaml").read_text()
    named = {SUFFIX.sub("", name) for expr in [*asked, keda] for name in NAME.findall(expr)}

    assert len(named) > 15
    assert named <= set(families) | {"taskledger_"}


def test_promtool_accepts_the_configuration_and_the_rules_fire_when_they_should():
    promtool = shutil.which("promtool")
    if promtool is None:
        unavailable("promtool: it is not installed here (on Debian: apt-get install prometheus)")
    folder = DEPLOY / "prometheus"

    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_keda_asks_for_a_route_and_a_value_that_exist(client):
    trigger = next(
        each["spec"]["triggers"][0]["metadata"]
        for each in yaml.safe_load_all((DEPLOY / "keda/worker-scaledobject.yaml").read_text())
        if each["kind"] == "ScaledObject"
    )

    answer = client.get(trigger["url"].partition(":8000")[2])

    value = answer.json
    for part in trigger["valueLocation"].split("."):
        value = value[int(part)] if part.isdecimal() else value[part]
    assert value == 0
