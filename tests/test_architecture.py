"""The floors of the house: imports go down, task types stay light, every file says what it is."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

from app.services.tasks.records import CHANGEABLE
from tests.support.servers.databases import NO_BROKER, ROOT

OURS = ("app", "tasks", "sdk", "tests", "benchmarks")
THEIRS = ROOT / "tests/conformance/nats/from_kombu/common.py"  # kept as its authors wrote it
HEAVY_FOR_TASK_TYPES = {"flask", "sqlalchemy", "psycopg2", "app"}
WITH_SQL = ("app/services/", "app/commands/", "app/database", "app/migrations/", "app/models/")
HEAVY_FOR_WORKERS = {"flask", "flask_sqlalchemy", "flask_smorest", "gunicorn"}
# Each costs a worker's process megabytes; it is imported by the first attempt, or the first key, that needs it.
FOR_FEW_TASKS = {
    "AntiSSRF",
    "PIL",
    "charset_normalizer",
    "cryptography",
    "duckdb",
    "flower",
    "fpdf",
    "jsonschema_rs",
    "requests",
    "prompt_toolkit",
    "rich",
    "sqlalchemy.orm",
    "tornado",
    "urllib3",
    "app.services.admission.ledger",
    "app.services.invoices",
    "app.services.triggers",
    "app.services.webhooks",
}
FACES = ("taskledger_sdk", "taskledger_sdk.client")
"""They load a name when it is asked for, and import it for type checkers alone."""
AS_A_WORKER = """
import tasks.__main__, tasks.celery
tasks.celery.app.loader.import_default_modules()
import app.worker.consumer
from app.worker import _before_children
_before_children()
"""
ENVIRONMENT = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": NO_BROKER}


def test_imports_only_go_down():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout


def test_no_modules_import_each_other_in_a_circle():
    import grimp

    packages = ("app", "tasks", "taskledger_sdk")
    runs = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    reads = grimp.build_graph(*packages, cache_dir=None)
    for face in FACES:
        for named in reads.find_modules_directly_imported_by(face):
            reads.remove_import(importer=face, imported=named)

    assert _circles(runs) == []
    assert _circles(reads) == [], "also where only a type checker follows the import"


def test_loading_every_task_type_loads_neither_flask_nor_sqlalchemy_nor_the_application():
    loaded = _loaded_by("import tasks; from taskledger_sdk.registry import load_types; assert load_types()")

    assert loaded & HEAVY_FOR_TASK_TYPES == set()


def test_a_worker_loads_no_web_application():
    loaded = _loaded_by("import tasks.celery; tasks.celery.app.loader.import_default_modules()")

    assert "app" in loaded
    assert loaded & HEAVY_FOR_WORKERS == set()


def test_a_worker_that_is_ready_to_fork_has_loaded_nothing_that_few_tasks_need():
    loaded = _loaded_by(AS_A_WORKER)

    assert {"app.worker.executor", "sqlalchemy", "psycopg2"} <= loaded
    assert loaded & FOR_FEW_TASKS == set()


def test_a_worker_with_keys_has_loaded_what_encrypts_before_it_forks():
    """So that its children share it."""
    loaded = _loaded_by(AS_A_WORKER, PAYLOAD_KEYS="A" * 43)

    assert "cryptography" in loaded


def test_a_dispatcher_loads_no_web_application():
    loaded = _loaded_by("import tasks.celery; import app.dispatcher.scheduler")

    assert loaded & HEAVY_FOR_WORKERS == set()


def test_the_api_holds_resources_and_their_schemas_only():
    others = {"__init__", "docs", "schemas", "batch_schemas"}
    modules = [path for path in (ROOT / "app/api").rglob("*.py") if path.stem not in others]

    assert [path.name for path in modules if "blueprint = Blueprint(" not in path.read_text()] == []


def test_services_live_in_packages_by_capability():
    modules = {path.stem for path in (ROOT / "app/services").glob("*.py")} - {"__init__"}

    assert modules == {"circuits", "idempotency", "leader", "owners", "retention"}


def test_every_file_opens_by_saying_what_it_is():
    silent = [path for path in _files() if not ast.get_docstring(ast.parse(path.read_text()))]

    assert silent == []


def test_sql_is_written_in_services_only():
    """Whoever looks for what reads or writes a table has one place to look."""
    above = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "app").rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith(WITH_SQL)
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("sa.text", "sqlalchemy.text", "Prepared")
    ]

    assert above == []


def test_requests_use_the_connections_of_the_web_application():
    """They are bounded by deadlines; those of a process, which workers use under the same names, are not."""
    strangers = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("api", "dashboard", "web")
        for path in (ROOT / "app" / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app.database")
        for name in node.names
        if name.name in ("transaction", "in_transaction", "engine")
    ]

    assert strangers == []


def test_the_life_cycle_alone_writes_the_status_of_tasks_and_when_they_are_dispatched():
    """Whoever asks why a task is where it is has one package to read."""
    columns = re.compile(r"\b(status|due_at|dispatched_at|gated|aged|lease|attempt)\b\s*=(?!=)")
    update = re.compile(r"UPDATE\s+tasks\b(?:\s+AS\s+\w+)?\s+SET\s(.*?)(?=\bFROM\b|\bWHERE\b|\"\)|\Z)", re.DOTALL)
    elsewhere = [
        f"{path.relative_to(ROOT)}: {written[1]}"
        for path in (ROOT / "app").rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith(("app/services/lifecycle/", "app/migrations/"))
        for statement in update.finditer(path.read_text())
        for written in columns.finditer(statement[1])
    ]

    assert elsewhere == []
    assert set(CHANGEABLE.values()).isdisjoint({"status", "due_at", "dispatched_at", "gated", "aged"})


def test_sql_of_several_lines_can_be_pasted_into_psql():
    """Adjacent string fragments would have to be put together by hand."""
    in_fragments = []
    for path in (ROOT / "app").rglob("*.py"):
        source = path.read_text()
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("sa.text", "Prepared"):
                in_fragments += [
                    f"{path.relative_to(ROOT)}:{each.lineno}"
                    for each in call.args
                    if isinstance(each, ast.Constant | ast.JoinedStr) and each.end_lineno - each.lineno > 2
                    if not ast.get_source_segment(source, each).lstrip("f").startswith('"""')
                ]

    assert in_fragments == []


def test_whoever_silences_the_type_checker_says_why():
    """A reason tells a gap in a library's types from a fault of ours."""
    silent = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in _files()
        if path.relative_to(ROOT).parts[0] in ("app", "tasks", "celeryconfig.py")
        for line in path.read_text().splitlines()
        if "# type: ignore" in line and not re.search(r"# type: ignore\[[a-z, -]+\]  # \w", line)
    ]

    assert silent == []


def test_every_folder_of_tests_is_a_package():
    """Otherwise pytest puts the folder's parent on sys.path, where tests/unit/tasks would hide our own tasks/."""
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}

    assert sorted(folder for folder in folders if not (folder / "__init__.py").exists()) == []


def _files() -> list[Path]:
    ours = (path for folder in OURS for path in (ROOT / folder).rglob("*.py") if path != THEIRS)
    return [ROOT / "celeryconfig.py", *ours]


def _loaded_by(statements: str, **settings: str) -> set[str]:
    """The modules that a fresh interpreter has loaded afterwards."""
    script = f"{statements}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    environment = ENVIRONMENT | settings
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def _circles(graph) -> list[list[str]]:
    """Groups of modules that reach each other (strongly connected components of more than one)."""
    reached = {module: graph.find_downstream_modules(module) for module in graph.modules}
    groups = {
        frozenset(other for other in below | {module} if other == module or module in reached[other])
        for module, below in reached.items()
    }
    return sorted(sorted(group) for group in groups if len(group) > 1)
