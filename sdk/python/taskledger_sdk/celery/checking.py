"""What becomes of a Celery application when it is adopted: kept, different or refused, with file and line.

The application is imported, as a worker would; what its code calls is read from the source of its modules.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from celery import Celery

from taskledger_sdk.celery import beat, called_code
from taskledger_sdk.celery.worker import refusals

Word = Literal["kept", "differs", "refused"]
JSON_SERIALIZERS = (None, "json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was found; `place` is `file:line`, or a setting."""

    word: Word
    place: str
    text: str


def check(app: Celery) -> list[Finding]:
    """All findings, the refused ones first."""
    found = [*_of_application(app), *_of_tasks(app), *_of_schedule(app), *_of_code(app)]
    return sorted(found, key=lambda each: (("refused", "differs", "kept").index(each.word), each.place))


def _of_application(app: Celery) -> Iterator[Finding]:
    for text in refusals.of_steps(app):
        yield Finding(word="refused", place="app.steps", text=text)
    if app.conf.task_serializer not in JSON_SERIALIZERS:
        text = "arguments and results are JSON in the ledger: what JSON does not have is refused by the call"
        yield Finding(word="differs", place=f"task_serializer={app.conf.task_serializer!r}", text=text)
    if not app.conf.task_acks_late:
        text = "a task whose worker is lost runs again; say taskledger_lost='fail' for all, or for tasks that must not"
        yield Finding(word="differs", place="task_acks_late=False", text=text)


def _of_tasks(app: Celery) -> Iterator[Finding]:
    own = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    for name, task in sorted(own.items()):
        place = place_of(task)
        for text in refusals.of_task(task):
            yield Finding(word="refused", place=place, text=text)
        if task.rate_limit:
            text = f"{name}: the rate limit {task.rate_limit} holds for the whole installation, not for each worker"
            yield Finding(word="differs", place=place, text=text)
    yield Finding(word="kept", place="tasks", text=f"{len(own)} tasks")


def _of_schedule(app: Celery) -> Iterator[Finding]:
    for entry in beat.entries(app):
        text = entry.refusal or f"a schedule of the ledger: {entry.text}"
        yield Finding(word=entry.word, place=f"beat_schedule[{entry.name!r}]", text=text)


def _of_code(app: Celery) -> Iterator[Finding]:
    for module in modules_of(app):
        try:
            path, source = Path(inspect.getfile(module)), inspect.getsource(module)
        except (OSError, TypeError):  # without a source
            continue
        for call in called_code.found_in(source):
            yield Finding(word=call.word, place=f"{_shown(path)}:{call.line}", text=call.text)


def modules_of(app: Celery) -> Iterable[ModuleType]:
    """The modules of the packages in which the application and its tasks are, as far as they were imported."""
    names = {task.run.__module__ for name, task in app.tasks.items() if not name.startswith("celery.")}
    names |= {app.main or ""}
    packages = {name.partition(".")[0] for name in names} - {"", "celery", "taskledger_sdk"}
    return [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] in packages and module]


def place_of(task: Any) -> str:
    """Where a task is written; its name where that cannot be told."""
    function = inspect.unwrap(task.run)
    try:
        return f"{_shown(Path(inspect.getfile(function)))}:{inspect.getsourcelines(function)[1]}"
    except (OSError, TypeError):
        return str(task.name)


def counts(found: Iterable[Finding]) -> Mapping[Word, int]:
    """How many of each."""
    words: list[Word] = [each.word for each in found]
    return {word: words.count(word) for word in ("refused", "differs", "kept")}


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
