"""docs/how-to/work-that-waits.md: its examples run as they stand, the ones in Python in a worker's own process."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from app import clock
from app.embedded import demo_model
from app.models import RunStatus, Status
from taskledger_sdk import registry
from taskledger_sdk.registry import load_types
from tests.integration.services.test_workflow_waits import begin, hints, signal, states, work_off  # noqa: F401
from tests.integration.worker.durable import signal as signal_task
from tests.support.factories import make_task, read_task
from tests.support.runs import run_of, task_of

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "work-that-waits.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.usefixtures("hints")


@pytest.fixture
def example(monkeypatch):
    """Execute a block of the page, as the module of a package."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)

    def execute(name):
        [text] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f'"""{name}: ' in block]
        module = ModuleType(f"example_{name}")
        monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
        exec(compile(text, module.__name__, "exec"), module.__dict__)  # the page's own code

    return execute


@pytest.fixture
def mails(monkeypatch):
    """send_email without a relay: what was sent."""
    sent = []
    kind = registry.get_type("send_email")
    from dataclasses import replace

    def keep(task, payload):
        sent.append(payload.subject)

    registry._types["send_email"] = replace(kind, handler=keep)
    return sent


def submitted(session, type_, payload):
    task = make_task(session, type=type_, payload=payload, now=clock.utcnow())
    session.commit()
    work_off(session)
    return read_task(session, task.id)


def test_a_customer_is_onboarded_once_somebody_has_approved(session, example, mails):
    example("onboarding")
    task = submitted(session, "onboard_customer", {"email": "ann@example.com", "company": "Nordlicht"})
    assert (task.status, task.error, task.reason) == (Status.WAITING, None, "waits for the signal approved")

    signal_task(task.id, "approved", {"by": "eve"})
    work_off(session)
    assert read_task(session, task.id).status == Status.WAITING  # until tomorrow
    work_off(session, after=timedelta(days=2))

    task = read_task(session, task.id)
    assert task.result == {"account": "account of ann@example.com", "approved_by": "eve"}
    assert mails == ["Approve Nordlicht?", "Welcome"]


def test_a_customer_whom_nobody_approves_gets_no_account(session, example, mails):
    example("onboarding")
    task = submitted(session, "onboard_customer", {"email": "ann@example.com", "company": "Nordlicht"})

    work_off(session, after=timedelta(days=8))

    assert (read_task(session, task.id).status, mails) == (Status.FAILED, ["Approve Nordlicht?"])
    steps = session.scalars(sa.text("SELECT name FROM task_steps WHERE task_id = :id"), {"id": task.id}).all()
    assert "open the account" not in steps


@pytest.mark.parametrize("count", [0, 3])
def test_a_list_of_any_length_is_printed(session, begin, count):  # noqa: F811
    [text] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    said = json.loads(text)
    definition = said["definition"]
    if not count:  # there is no last one to tell of
        definition["steps"]["tell"]["payload"] = "nothing printed"
    orders = [{"id": f"A-{number}"} for number in range(count)]

    run = begin(definition["steps"], name=said["name"], input=definition["input"], input_={"orders": orders})
    signal(session, run, "released")

    assert run_of(session, run.id).status == RunStatus.COMPLETED
    assert states(session, run.id) == {"print": "COMPLETED", "released": "COMPLETED", "tell": "COMPLETED"}
    assert task_of(session, run.id, "print").result == {"items": count}


@contextmanager
def model() -> Iterator[str]:
    server = demo_model.make_server(0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_agent_asks_its_model_until_it_has_an_answer(session, example, monkeypatch):
    asked = []
    plain = demo_model.reply
    monkeypatch.setattr(demo_model, "reply", lambda messages: asked.append(len(messages)) or plain(messages))
    example("agent")
    with model() as url:
        monkeypatch.setenv("MODEL_URL", url)
        task = submitted(session, "run_agent", {"text": "hello"})

    assert (task.status, task.result) == (Status.COMPLETED, "It is OLLEH.")
    assert asked == [1, 3, 5]  # each reply was asked for once, although the handler ran three times from its top
