"""Python on the pages runs: blocks in a sandbox with a scratch registry; names in the text are those of the code."""

import ast
import asyncio
import builtins
import dataclasses
import datetime
import decimal
import enum
import importlib
import importlib.util
import inspect
import re
import sys
import textwrap
import typing
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import httpx2
import marshmallow
import pytest
from celery import Celery
from celery.exceptions import FixupWarning
from flask import Flask
from marshmallow import validate
from sqlalchemy.orm import Session as SqlSession
from standardwebhooks.webhooks import Webhook

import tasks
from app import models
from app.database import Base
from app.services.sql.roles import CALLED_BY_VIEWS, FUNCTIONS
from app.services.tasks.children.asking import wish
from app.web.schemas.schedules import PutSchedule
from taskledger_sdk import DurableTask, TaskContext, client, durable, lifespans, registry, schedules, testing
from taskledger_sdk import errors as task_errors
from taskledger_sdk.celery.sending import Sender
from taskledger_sdk.payload import PayloadSpec
from taskledger_sdk.registry import TaskType, load_types
from taskledger_sdk.results import storable_result
from taskledger_sdk.workflows import declaring
from tests.support.fake_task import FakeTask
from tests.support.servers.databases import ROOT
from tests.unit.documents import PAGES, Block, python_blocks, spans

SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXM="
CLIENT_PAGES = ("python-client.md", "ask-for-approval.md", "README.md")
GENERATED = ("cli.md", "api.md", "tables.md", "changelog.md")
OTHERS = (*GENERATED, "typescript-client.md")  # tests/unit/test_typescript_client.py looks at the names of the latter
FOR_CONTRIBUTORS = {page.name for page in PAGES if page.parent.name in ("contributing", "decisions")}
ENTRY_POINT_GROUPS = {"taskledger.tasks", "taskledger.commands"}
ALL = {str(block): block for block in python_blocks()}


class CheckedTask(FakeTask):
    """A task whose methods take what those of TaskContext take, and whose submissions are judged as the worker does."""

    def submit(self, *given: Any, **options: Any) -> uuid.UUID:
        bound = signature_of("submit").bind(*given, **options)
        bound.apply_defaults()
        said = dict(bound.arguments.get("options", {}))
        wish(bound.arguments["type_name"], bound.arguments["payload"], bound.arguments["key"], said)
        return super().submit(*given, **options)

    def progress(self, *given: Any, **options: Any) -> None:
        signature_of("progress").bind(*given, **options)
        super().progress(*given, **options)

    def log(self, *given: Any, **options: Any) -> None:
        signature_of("log").bind(*given, **options)
        super().log(*given, **options)


def signature_of(method: str) -> inspect.Signature:
    """As whoever calls it sees it: without self."""
    signature = inspect.signature(getattr(TaskContext, method))
    return signature.replace(parameters=list(signature.parameters.values())[1:])


@pytest.fixture
def scratch(monkeypatch) -> None:
    """Types and workflows that are declared go into registries of this test."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)
    monkeypatch.setattr(lifespans, "_declared", {})
    monkeypatch.setattr(declaring, "_workflows", dict(declaring.load_workflows()))
    monkeypatch.setattr(schedules, "_schedules", dict(schedules.load_schedules()))


def executed(block: Block, tmp_path: Path, **given: Any) -> ModuleType:
    """The block as a module of its own, with the names that its page takes for granted."""
    path = tmp_path / f"documented_{block.number}.py"
    path.write_text(block.text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"documented_{block.page.stem}_{block.number}", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(given)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def run_type(block: Block, tmp_path: Path) -> None:
    """A handler: each of its examples runs, its result can be kept, and its undo takes back what it did."""
    before = set(registry._types)
    executed(block, tmp_path)
    [name] = set(registry._types) - before
    made: TaskType = registry._types[name]
    assert made.examples, f"{name} shows no example"
    for example in made.examples if made.durable else ():
        run_durable(made, example)
    for example in () if made.durable else made.examples:
        task, payload = CheckedTask(type=name), made.payload.load(example)
        result = storable_result(ended(made.handler(task, payload)))
        for _ in range(2 if made.undo is not None else 0):  # it may run more than once, too
            storable_result(ended(made.undo(task, payload, result)))
        assert made.undo is None or task.artifacts.files == {}


def run_durable(made: TaskType, example: Any) -> None:
    """A durable handler: it comes to its end where the signal that it waits for comes, and its children run."""
    task = testing.DurableAttempt()
    task.signal("approved", {"ok": True}, after=3600)
    for kind in load_types().values():
        task.answer(kind.name, lambda payload, kind=kind: kind.handler(CheckedTask(), kind.payload.load(payload)))
    [*_, last] = testing.run_until_done(made.handler, example, task)
    assert isinstance(last, testing.Completed), str(last)


def ended(result: Any) -> Any:
    """What a handler returned; a coroutine is run to its end. Whatever it shares with others is a client of a test."""
    if not inspect.iscoroutine(result):
        return result
    with ExitStack() as stack:
        for shared in lifespans.declared():
            client = httpx2.AsyncClient(transport=httpx2.MockTransport(_answer_of_rates), base_url="http://rates.test")
            stack.enter_context(shared.using(client))
        return asyncio.run(result)


def _answer_of_rates(request: httpx2.Request) -> httpx2.Response:
    assert request.url.path == "/rates/CHF"
    return httpx2.Response(200, json={"rate": "0.93"})


def run_workflow(block: Block, tmp_path: Path) -> None:
    """A workflow: its definition is one that the service takes, of types that there are."""
    before = set(declaring._workflows)
    executed(block, tmp_path)
    [name] = set(declaring._workflows) - before
    assert {step.type for step in declaring._workflows[name].definition.steps.values()} <= set(load_types())


def run_schedule(block: Block, tmp_path: Path) -> None:
    """A schedule: it is one that a request could make."""
    before = set(schedules._schedules)
    executed(block, tmp_path)
    [name] = set(schedules._schedules) - before
    PutSchedule().load({"name": name, **schedules._schedules[name].written})


def run_fields(block: Block, _tmp_path: Path) -> None:
    """Members of a payload: a dataclass of them is one that a type takes."""
    source = f"@dataclass(frozen=True, kw_only=True)\nclass Shown:\n{textwrap.indent(block.text, '    ')}"
    namespace = {**vars(tasks), **vars(validate), **vars(typing), "Decimal": decimal.Decimal,
                 "dataclass": dataclasses.dataclass, "__name__": __name__}  # fmt: skip
    exec(source, namespace)
    PayloadSpec.of(namespace["Shown"])


def run_receiver(block: Block, tmp_path: Path) -> None:
    """A receiver of webhooks: it takes what is signed, and nothing else."""
    remembered: list[str] = []
    shown = Block(page=block.page, number=block.number, text=block.text.replace("whsec_…", SECRET))
    module = executed(shown, tmp_path, remember=remembered.append)
    app: Flask = module.app
    now, body = datetime.datetime.now(datetime.UTC), b'{"type": "task.completed"}'
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, body.decode()),
    }
    assert app.test_client().post("/hooks", data=body, headers=headers).status_code == 204
    assert app.test_client().post("/hooks", data=b"{}", headers=headers).status_code == 500
    assert remembered == ["msg_1"]


def run_tests(block: Block, tmp_path: Path) -> None:
    """Tests of the type that the page has shown last: each of them passes."""
    home = ModuleType("acme_jobs")
    above = (each for each in ALL.values() if each.page == block.page and each.number < block.number)
    shown = max((each for each in above if "@task_type(" in each.text), key=lambda each: each.number)
    with mock.patch.dict(sys.modules, {"acme_jobs": home}):
        name = re.match(r'"""(\w+): ', shown.text)[1]  # type: ignore[index]
        module = executed(shown, tmp_path)
        setattr(home, name, module)
        sys.modules[f"acme_jobs.{name}"] = module
        tests = [each for name, each in vars(executed(block, tmp_path)).items() if name.startswith("test_")]
        for test in tests:
            test()
    assert tests


def run_client(block: Block, _tmp_path: Path) -> None:
    """A program with a client: tests/acceptance/test_python_client.py runs those of these pages beside a service."""
    assert block.page.name in CLIENT_PAGES
    compile(block.text, str(block), "exec")


def run_work(block: Block, tmp_path: Path) -> None:
    """A worker of a remote type: its handler runs; tests/acceptance/test_python_client.py runs such a loop."""
    handler = executed(block, tmp_path).shout
    task = SimpleNamespace(progress=lambda *_: None)

    assert handler(task, {"text": "hello"}) == "HELLO"


def run_elsewhere(block: Block, tmp_path: Path) -> None:
    """An example of work that waits: tests/integration/services/test_examples_of_waiting.py runs it in a worker."""
    before = set(registry._types)
    executed(block, tmp_path)
    assert any(registry._types[name].durable for name in set(registry._types) - before)


def run_adoption(block: Block, tmp_path: Path) -> None:
    """A Celery application that is adopted, or calls within a transaction; tests/integration/adoption looks further."""
    sent: list[Any] = []
    session = SqlSession()
    app = Celery("documented", broker="memory://", set_as_current=False)
    given = {"app": app, "session": session, "db": SimpleNamespace(session=session), "order": SimpleNamespace(id=7)}
    given["send_receipt"] = SimpleNamespace(delay=sent.append)
    session.add = session.commit = lambda *_: None  # type: ignore[method-assign, assignment]
    with mock.patch.dict("os.environ"), mock.patch("celery._state._set_current_app"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FixupWarning)  # no Django is installed here
        module = executed(block, tmp_path, **given)
    made = getattr(module, "celery_init_app", None)
    if made is not None:
        flask = Flask("documented")
        flask.config["CELERY"] = {"broker_url": "memory://"}
        with mock.patch("celery._state.default_app", None), mock.patch("celery._state.set_default_app"):
            module.app = made(flask)
    assert sent == [7] or isinstance(module.app.send_task, Sender)


RUNNERS: tuple[tuple[str, Callable[[Block, Path], None]], ...] = (
    (r'^"""(onboarding|agent): ', run_elsewhere),
    (r'^"""\w+: .*^@task_type\(', run_type),
    (r'^"""\w+: .*^\w+ = workflow\(', run_workflow),
    (r'^"""\w+: .*^\w+ = schedule\(', run_schedule),
    (r"^\w+: .* = rule\(", run_fields),
    (r"^def test_", run_tests),
    (r"^from taskledger_sdk.client import Client, WorkTask$", run_work),
    (r"^from taskledger_sdk import .*Client", run_client),
    (r"^from taskledger_sdk.celery import", run_adoption),
    (r"Webhook\(.*\)\.verify\(", run_receiver),
)
"""Which blocks are run how, by what they hold. A block of another kind needs a runner; to compile it is not enough."""


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize("name", sorted(ALL))
def test_python_on_the_pages_runs(name, tmp_path):
    block = ALL[name]
    runner = next((run for holds, run in RUNNERS if re.search(holds, block.text, re.DOTALL | re.MULTILINE)), None)

    assert runner is not None, f"{name}: nothing here knows how to run this block; add a runner"
    runner(block, tmp_path)


MODULES: tuple[Any, ...] = (
    tasks,
    durable,
    task_errors,
    testing,
    client,
    models,
    validate,
    marshmallow,
    builtins,
    datetime,
    decimal,
    enum,
    typing,
    uuid,
)
# Roots that are names of somebody else's Python, or of no Python at all, on these pages.
FOREIGN = {
    "migrate-from-celery.md": {
        *("AsyncResult", "GroupResult", "OperationalError", "add_to_chord", "adopt", "app", "apply_async", "charge"),
        *("other", "result", "revoke", "revoke_by_stamped_headers", "self", "send_task", "transaction"),
    },
    "adopted-projects.md": {
        *("GroupResult", "Reject", "add_to_chord", "apply", "apply_async", "chunks", "get", "inspect", "result"),
        *("retry", "revoke", "revoke_by_stamped_headers", "self"),
    },
    "celery-and-django.md": {"TestCase", "apply_async_on_commit", "delay_on_commit", "self", "transaction", "using"},
    "celery-and-flask.md": {"AsyncSession", "db", "using"},
    "migrate-from-rq.md": {"Retry", "enqueue_in", "job", "queue", "FailedJobRegistry", "ScheduledJobRegistry"},
    "deploy-on-kubernetes.md": {"ReadWriteMany", "broker", "database", "migration", "secrets", "serviceAccount"},
    "add-a-task-type.md": {"ProcessPoolExecutor", "WorkerLost"},
    "brokers.md": {"Connection"},
    "celery-worker.md": {"AbortableTask", "Reject", "RetryNotRaised", "revoke", "self"},
    "python-client.md": {"CreateInvoiceLinesItem", "DataProcessingFilter", "DataProcessingSort", "TaskPayloads"},
    "test-your-tasks.md": {"outcome", "rates"},
    "wait-without-a-worker.md": {"random"},
    "your-own-package.md": {"acme_jobs"},
    "0044-adopted-calls-keep-celerys-own-code.md": {"AsyncResult", "BaseBackend", "app", "freeze"},
    "0045-celery-decides-about-retries.md": {"AsynPool", "request"},
    "0022-payloads-stay-on-marshmallow.md": {"TypeAdapter", "PayloadSpec"},
    "0023-psycopg2-stays-under-hot-statements.md": {"array"},
    "0024-a-log-file-of-our-own-a-cache-of-others.md": {"SharedFileHandler"},
}
DURABLE = {
    "ask-for-approval.md",
    "durable-handlers.md",
    "wait-without-a-worker.md",
    "durable-handlers.added.md",
    "0042-who-waits-is-run-again-from-its-top.md",
}
"""Pages on which `task` is a DurableTask."""
WITH_ATTEMPTS = {"test-your-tasks.md"}
"""Pages on which `task` is the attempt of a test."""
NOT_PYTHON = re.compile(
    r"task\.(events|updates|completed|failed|cancelled|pending|processing|retrying|scheduled|waiting)(\.NAME)?|webhook\.test"
    r"|tasks\.dead"  # exchanges, queues and events
    r"|(admin|audit|dead_letters|queue|detail|signal)\.[a-z_]+"  # actions of the audit log, and what they hold
    r"|steps\.\w+\.\w+.*|input\..*|errors\.\w+|data\.\w+|evidence\.\w+|payload\.\w+"  # members of JSON
    r"|taskledger\.(service|submit|tasks)|(v|pg)_\w+\.\w+"  # a setting of PostgreSQL, entry points, columns of views
    r"|[\w.-]+\.(pem|crt|key|svg|png|py|md|yml|yaml|json|conf|env|eml|csv|pdf|toml|sql|js|css)"
)
LOOKS_LIKE_PYTHON = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(.*\))?")
CAMEL = re.compile(r"([A-Z][a-z0-9]+){2,}")


def fault_of(span: str, page: str) -> str | None:
    """What is wrong with words that look like Python: a name that is not there, or a call that it does not take."""
    if not LOOKS_LIKE_PYTHON.fullmatch(span) or NOT_PYTHON.fullmatch(span):
        return None
    if not ("." in span or "(" in span or CAMEL.fullmatch(span)) or span in ENTRY_POINT_GROUPS:
        return None
    try:
        node = ast.parse(span.replace("…", "..."), mode="eval").body
    except SyntaxError:
        return "is no Python"
    call = node if isinstance(node, ast.Call) else None
    root = next(each.id for each in ast.walk(node) if isinstance(each, ast.Name) and span.startswith(each.id))
    if root in FOREIGN.get(page, ()):
        return None
    path = ast.unparse(node.func if call else node).split(".")
    return _fault_of_name(path, call, page)


@cache
def _names_in_code() -> set[str]:
    """What contributors meet: functions, classes and constants, alone and behind their module; functions of SQL."""
    names: set[str] = set()
    for folder in ("app", "tasks", "sdk/python/taskledger_sdk"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                found = [getattr(node, "name", None)] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
                if isinstance(node, ast.ImportFrom):
                    found = [each.asname or each.name for each in node.names]
                names |= {name for each in found if each for name in (each, f"{file.stem}.{each}")}
    migrations = [file for file in (ROOT / "app/migrations").rglob("*") if file.suffix in (".sql", ".py")]
    statements = "".join(file.read_text(encoding="utf-8") for file in migrations)
    return names | set(re.findall(r"FUNCTION (taskledger\.\w+)", statements))


def _task_of(page: str) -> type:
    """What `task` is on a page."""
    if page in WITH_ATTEMPTS:
        return testing.Attempt
    return DurableTask if page in DURABLE else TaskContext


def _fault_of_name(path: list[str], call: ast.Call | None, page: str) -> str | None:
    if page in FOR_CONTRIBUTORS and ".".join(path) in _names_in_code():
        return None
    if path[0] == "task":
        return _fault_of_member(_task_of(page), path[1:], call)
    if path[0] == "client" and len(path) == 2:
        return _fault_of_member(client.Client, path[1:], call)
    if path[0] == "testing" and len(path) == 2:
        path = path[1:]
    table = Base.metadata.tables.get(path[0])
    if len(path) == 2 and table is not None and path[1] in table.c:
        return None
    if len(path) > 1 and path[0] != "taskledger" and importlib.util.find_spec(path[0]) is not None:
        return _fault_of_module(path)
    if call is not None and any(each.startswith(f"{path[-1]}(") for each in (*FUNCTIONS, *CALLED_BY_VIEWS)):
        return None  # a function of SQL
    found = next((vars(module)[path[0]] for module in (*MODULES, *_shown()) if path[0] in vars(module)), None)
    if found is None and hasattr(TaskContext, path[0]):
        return _fault_of_member(TaskContext, path, call)
    if found is None:
        return "is nowhere in what handlers are written with"
    return _fault_of_call(found, call)


def _shown() -> list[Any]:
    """What the page itself declares: the handler of `add-a-task-type.md` is called in its text."""
    block = next(block for block in ALL.values() if '"""count_words: ' in block.text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_types", {})
        patch.setattr(registry, "_found", None)
        module = ModuleType("shown")
        sys.modules["shown"] = module
        try:
            exec(block.text, vars(module))
        finally:
            del sys.modules["shown"]
    return [module]


def _fault_of_member(owner: type, path: list[str], call: ast.Call | None) -> str | None:
    if len(path) == 1 and path[0] in getattr(owner, "__dataclass_fields__", ()):
        return "is no function" if call else None
    if len(path) != 1 or not hasattr(owner, path[0]):
        return f"{owner.__name__} has no {'.'.join(path)}"
    member = getattr(owner, path[0])
    if isinstance(member, property):
        return "is no function" if call else None
    return _fault_of_call(member, call, skips_self=True)


def _fault_of_call(called: Any, call: ast.Call | None, *, skips_self: bool = False) -> str | None:
    """Whether the call fits the signature; `f()` and `f(...)` name a function and say nothing of its arguments."""
    if call is None or not (call.args or call.keywords) or ast.unparse(call).endswith("(...)"):
        return None
    try:
        signature = inspect.signature(called)
    except ValueError:  # an exception that takes whatever it is given
        return None
    given = [object()] * (len(call.args) + skips_self)
    named = {word.arg: object() for word in call.keywords if word.arg and not _is_open(word.value)}
    is_open = any(_is_open(each) for each in call.args)
    try:
        (signature.bind_partial if is_open else signature.bind)(*given, **named)
    except TypeError as error:
        return f"cannot be called so: {error}"
    return _fault_of_options(signature, named)


def _is_open(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _fault_of_options(signature: inspect.Signature, named: Mapping[str, Any]) -> str | None:
    """`**options` of a TypedDict take its keys only."""
    known = set(signature.parameters)
    if "Unpack[SubmitOptions]" in str(signature):
        from taskledger_sdk.context import SubmitOptions

        wrong = set(named) - known - set(SubmitOptions.__annotations__)
        return f"has no option {', '.join(sorted(wrong))}" if wrong else None
    return None


def _fault_of_module(path: list[str]) -> str | None:
    for end in range(len(path), 0, -1):
        try:
            module = importlib.import_module(".".join(path[:end]))
        except ModuleNotFoundError:
            continue
        found: Any = module
        for name in path[end:]:
            if not hasattr(found, name):
                return f"{'.'.join(path[:end])} has no {name}"
            found = getattr(found, name)
        return None
    return "is no module"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OTHERS], ids=lambda page: page.name)
def test_python_names_in_the_text_are_those_of_the_code(page):
    assert {span: fault for span in spans(page) if (fault := fault_of(span, page.name))} == {}


WRONG = [
    "task.enqueue(type, payload)", "task.submit(payload)", 'task.submit(type, payload, colour="red")',
    "task.settings()", "RetryPolicy(retries=3)", "RetryAfter(seconds)", "PermanentFailure", "TimeLimitReachd",
    "taskledger_sdk.errors.NoSuchThing", "app.healthchecks", "count_words(task)", "Places(2, 3)", "progres()",
]  # fmt: skip


@pytest.mark.parametrize("span", WRONG)
def test_a_name_that_is_not_there_would_be_found(span):
    assert fault_of(span, "add-a-task-type.md") is not None


RIGHT = ["task.submit(type, payload, key=…)", "RetryPolicy(max_retries=3)", "RetryLater(seconds)", "app.healthcheck",
         "task.deadline", "Places(2)", "rule(...)", "PermanentError", "taskledger_sdk.registry.task_type"]  # fmt: skip


@pytest.mark.parametrize("span", RIGHT)
def test_a_name_that_is_there_is_accepted(span):
    assert fault_of(span, "add-a-task-type.md") is None
