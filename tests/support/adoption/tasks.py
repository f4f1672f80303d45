"""Tasks that use what Celery has, each as its documentation shows it."""

import os
import signal
import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from celery import Task, shared_task
from celery.contrib.abortable import AbortableTask
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.result import allow_join_result
from celery.utils.log import get_task_logger

from tests.support.adoption.application import app, record

try:
    from pydantic import BaseModel
except ImportError:  # with other versions of Celery, in environments of their own
    BaseModel = object  # type: ignore[assignment,misc]


class Trouble(Exception):
    """What a flaky outside raises."""


class Expected(Exception):
    """One that a task declares by `throws`."""


def run(task: Task, **said: Any) -> int:
    """Note an attempt; returns the number of retries before it."""
    record("run", task.request.id, retries=task.request.retries, **said)
    return int(task.request.retries)


@app.task(name="adoption.add")
def add(x: Any, y: Any) -> Any:
    return x + y


@app.task(bind=True, name="adoption.request")
def request(self: Task, *args: Any, **kwargs: Any) -> dict[str, Any]:
    found = self.request
    return {
        "is_own_id": found.id == found.root_id == found.correlation_id,
        "retries": found.retries,
        "args": list(found.args),
        "kwargs": dict(found.kwargs),
        "hostname": "@" in found.hostname,
        "queue": found.delivery_info["routing_key"],
        "redelivered": bool(found.delivery_info["redelivered"]),
        "directly": found.called_directly,
        "eager": found.is_eager,
        "task": found.task,
        "header": (found.headers or {}).get("tenant"),
        "timelimit": list(found.timelimit or ()),
        "name": self.name,
    }


@app.task(
    bind=True, autoretry_for=(Trouble,), retry_backoff=0.01, retry_jitter=False, max_retries=2, name="adoption.auto"
)
def auto(self: Task, failures: int) -> int:
    if run(self) < failures:
        raise Trouble(f"attempt {self.request.retries}")
    return int(self.request.retries)


@app.task(bind=True, max_retries=2, name="adoption.retrying")
def retrying(self: Task, failures: int) -> int:
    if run(self) < failures:
        raise self.retry(countdown=0.1, exc=Trouble("again"))
    return int(self.request.retries)


@app.task(bind=True, max_retries=1, name="adoption.gives_up")
def gives_up(self: Task) -> None:
    run(self)
    raise self.retry(countdown=0.1)


@app.task(bind=True, max_retries=None, name="adoption.endless")
def endless(self: Task) -> int:
    if run(self) < 6:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


@app.task(bind=True, name="adoption.by_override")
def by_override(self: Task) -> int:
    if run(self) < 5:
        raise self.retry(countdown=0.1, max_retries=5)
    return int(self.request.retries)


@app.task(bind=True, name="adoption.by_eta")
def by_eta(self: Task) -> float:
    if run(self) == 0:
        raise self.retry(eta=datetime.now(app.timezone) + timedelta(seconds=1), args=(), kwargs={})
    return float(self.request.retries)


@app.task(bind=True, name="adoption.changes_arguments")
def changes_arguments(self: Task, number: int, note: str = "first") -> list[Any]:
    run(self, number=number, note=note)
    if number < 3:
        raise self.retry(args=(number + 1,), kwargs={"note": "again"}, countdown=0.1)
    return [number, note, list(self.request.args), dict(self.request.kwargs)]


@app.task(bind=True, name="adoption.never_raised")
def never_raised(self: Task) -> str:
    self.retry(countdown=0.1, throw=False)
    return "went on"


@app.task(bind=True, throws=(Expected,), name="adoption.throws")
def throws(self: Task) -> None:
    run(self)
    raise Expected("as declared", 7)


@app.task(bind=True, name="adoption.fails")
def fails(self: Task, text: str) -> None:
    run(self)
    raise ValueError(text)


class Watched(Task):
    """A base class with all hooks."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        record("hook call", self.request.id)
        return self.run(*args, **kwargs)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        record("hook before_start", task_id, args=list(args), kwargs=kwargs)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        record("hook on_success", task_id, retval=retval, args=list(args))

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        record("hook on_retry", task_id, error=type(exc).__name__)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        record("hook on_failure", task_id, error=type(exc).__name__, args=list(args))

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        record("hook after_return", task_id, status=status)


@app.task(bind=True, base=Watched, max_retries=1, name="adoption.watched")
def watched(self: Task, what: str) -> str:
    if what == "retry" and self.request.retries == 0:
        raise self.retry(countdown=0.1)
    if what == "fail":
        raise ValueError(what)
    return what


class ByClass(app.Task):  # type: ignore[name-defined,misc]
    """A task that is a class."""

    name = "adoption.by_class"

    def run(self, number: int) -> int:
        return number * 2


by_class = app.register_task(ByClass())


@shared_task(name="adoption.shared")
def shared(text: str) -> str:
    return text.upper()


@app.task(bind=True, name="adoption.states")
def states(self: Task, seconds: float) -> str:
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 4})
    time.sleep(seconds)
    return "done"


@app.task(bind=True, name="adoption.ignores_result", ignore_result=True)
def ignores_result(self: Task) -> str:
    run(self)
    return "not kept"


@app.task(bind=True, name="adoption.ignored")
def ignored(self: Task) -> None:
    run(self)
    raise Ignore


@app.task(bind=True, name="adoption.rejected", acks_late=True)
def rejected(self: Task, requeue: bool) -> str:
    record("run", self.request.id)
    if requeue and os.path.exists(os.environ["ADOPTION_RECORD"] + ".rejected"):
        return "at last"
    if requeue:
        open(os.environ["ADOPTION_RECORD"] + ".rejected", "w").close()
    raise Reject("no use", requeue=requeue)


@app.task(bind=True, soft_time_limit=1, name="adoption.soft_limit")
def soft_limit(self: Task) -> str:
    run(self)
    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return "caught"
    return "never"


@app.task(bind=True, time_limit=1, name="adoption.hard_limit")
def hard_limit(self: Task) -> None:
    run(self)
    time.sleep(30)


@app.task(bind=True, name="adoption.sleeps")
def sleeps(self: Task, seconds: float) -> str:
    run(self)
    time.sleep(seconds)
    return "slept"


@app.task(bind=True, base=AbortableTask, name="adoption.abortable")
def abortable(self: Any) -> str:
    run(self)
    for _ in range(200):
        if self.is_aborted():
            return "aborted"
        time.sleep(0.05)
    return "never"


@app.task(name="adoption.values")
def values(moment: datetime, price: Decimal, key: UUID, data: bytes) -> dict[str, Any]:
    kinds = [type(each).__name__ for each in (moment, price, key, data)]
    return {"kinds": kinds, "moment": moment, "price": price, "key": key, "data": data}


@app.task(name="adoption.no_json")
def no_json() -> Any:
    return {1, 2}


@app.task(bind=True, name="adoption.dies")
def dies(self: Task) -> str:
    """Its child is killed, the first time."""
    flag = os.environ["ADOPTION_RECORD"] + ".died"
    record("run", self.request.id, redelivered=bool(self.request.delivery_info["redelivered"]))
    if not os.path.exists(flag):
        open(flag, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@app.task(name="adoption.dies_once", taskledger_lost="fail")
def dies_for_good() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="adoption.exits")
def exits() -> None:
    raise SystemExit(3)


@app.task(name="adoption.joins")
def joins() -> Any:
    return add.delay(1, 2).get(timeout=5)


@app.task(name="adoption.joins_anyway")
def joins_anyway() -> Any:
    with allow_join_result():
        return add.delay(1, 2).get(timeout=30)


@app.task(bind=True, name="adoption.parent")
def parent(self: Task) -> list[str]:
    return [add.delay(1, number).id for number in range(2)]


@app.task(name="adoption.elsewhere")
def elsewhere() -> str:
    return "other queue"


@app.task(name="adoption.writes_down")
def writes_down(*args: Any) -> None:
    record("written", None, args=[str(each) for each in args])


@app.task(name="adoption.slow_note")
def slow_note(number: int, seconds: float) -> int:
    time.sleep(seconds)
    record("noted", None, number=number)
    return number


class RetriesByItself(Task):
    """A base class that says when its tasks are retried, as many projects have one."""

    abstract = True
    autoretry_for = (Trouble,)
    retry_kwargs: ClassVar = {"max_retries": 3, "countdown": 0.1}
    retry_backoff = False


@app.task(bind=True, base=RetriesByItself, name="adoption.mail")
def mail(self: Task, to: str, *, subject: str = "hello") -> str:
    if run(self) < 2:
        raise Trouble("the relay is away")
    return f"{subject} to {to}"


@shared_task(bind=True, name="adoption.late", acks_late=True, default_retry_delay=0.1, track_started=True)
def late(self: Task) -> int:
    try:
        if run(self) < 1:
            raise Trouble("not yet")
    except Trouble as error:
        raise self.retry(exc=error) from error
    return int(self.request.retries)


@shared_task(bind=True, name="adoption.ids")
def ids(self: Task, number: int) -> tuple[str, str | None, int]:
    return self.request.root_id, self.request.parent_id, number


@shared_task(bind=True, name="adoption.collect_ids")
def collect_ids(self: Task, before: Any, number: int) -> Any:
    return before, (self.request.root_id, self.request.parent_id, number), self.request.id


@app.task(name="adoption.errback")
def errback(request: Any, error: Exception, traceback: Any) -> None:
    """Called by the worker of the task that failed, with what it knows of it."""
    record("errback", request.id, error=type(error).__name__, has_traceback=bool(traceback))


class Stubborn:
    """What pickle cannot write."""

    def __reduce__(self) -> Any:
        raise TypeError("no copies")

    def __repr__(self) -> str:
        return "Stubborn()"


class NotPicklable(Exception):
    """One that cannot be copied to another process."""

    def __init__(self, first: str, second: Any) -> None:
        super().__init__(first, second)
        self.second = second


@app.task(name="adoption.raises_odd")
def raises_odd() -> None:
    raise NotPicklable("odd", Stubborn())


class Parcel(BaseModel):
    """What is sent."""

    number: int
    to: str = "nobody"


if BaseModel is not object:

    @app.task(name="adoption.with_model", pydantic=True)
    def with_model(parcel: Parcel) -> Parcel:
        return Parcel(number=parcel.number + 1, to=parcel.to.upper())


@app.task(name="adoption.unicode")
def unicode(text: str = "håå®ƒ 漢字 🐘") -> str:
    print(text)
    get_task_logger(__name__).warning(text)
    return text


@app.task(name="adoption.keyword_only")
def keyword_only(first: int, *, second: int, third: int = 3) -> int:
    return first + second + third
