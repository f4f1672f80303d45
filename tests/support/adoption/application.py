"""The application: as a team has it, with the two lines of the adoption where ADOPTED says so."""

import json
import os
from typing import Any

from celery import Celery, signals

app = Celery("adoption", broker=os.environ.get("ADOPTION_BROKER"), include=["tests.support.adoption.tasks"])
app.conf.update(
    result_backend=os.environ.get("ADOPTION_RESULTS"),
    task_default_queue="adoption",
    task_routes={"adoption.elsewhere": {"queue": "other"}},
    result_extended=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    timezone="Europe/Berlin",
    task_acks_late=bool(os.environ.get("ADOPTION_ACKS_LATE")),
    task_reject_on_worker_lost=bool(os.environ.get("ADOPTION_ACKS_LATE")),
)
if os.environ.get("ADOPTED") == "1":
    from taskledger_sdk.celery import adopt

    adopt(app)


def record(what: str, task_id: str | None, **said: Any) -> None:
    """Write down what was seen, by one write that no other process can be in the middle of."""
    line = json.dumps({"what": what, "id": task_id, **said}, default=repr) + "\n"
    descriptor = os.open(os.environ["ADOPTION_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _listen(name: str, signal: Any, said: Any) -> None:
    def on_signal(sender: Any = None, **values: Any) -> None:
        if os.environ.get("ADOPTION_RECORD"):
            task_id, extra = said(values)
            record(f"signal {name}", task_id, sender=getattr(sender, "name", None), **extra)

    signal.connect(on_signal, weak=False)


def _of_request(values: Any) -> Any:
    request = values["request"]
    return request.id, {"args": list(request.args or ()), "kwargs": dict(request.kwargs or {})}


_listen("received", signals.task_received, _of_request)
_listen("prerun", signals.task_prerun, lambda v: (v["task_id"], {"args": list(v["args"]), "kwargs": dict(v["kwargs"])}))
_listen("postrun", signals.task_postrun, lambda v: (v["task_id"], {"state": v["state"], "retval": repr(v["retval"])}))
_listen(
    "failure",
    signals.task_failure,
    lambda v: (v["task_id"], {"error": type(v["exception"]).__name__, "args": list(v["args"])}),
)
_listen("retry", signals.task_retry, lambda v: (v["request"].id, {"reason": type(v["reason"]).__name__}))
_listen("revoked", signals.task_revoked, lambda v: (v["request"].id, {"terminated": v["terminated"]}))


def _on_success(sender: Any = None, result: Any = None, **_: Any) -> None:
    if os.environ.get("ADOPTION_RECORD"):
        record("signal success", sender.request.id, sender=sender.name, result=repr(result))


signals.task_success.connect(_on_success, weak=False)
