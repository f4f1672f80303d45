"""The task types: what each one is, how a handler becomes one, and how they are found."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import pkgutil
import re
import threading
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypedDict, TypeVar, Unpack

from tasks.errors import BadDeclaration, UnknownTaskType
from tasks.payload import PayloadSpec
from tasks.retry import RetryPolicy

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# RabbitMQ closes the channel of a consumer that has not acknowledged for 30 minutes; this leaves it four to spare.
LONGEST_HARD_LIMIT_SECONDS = 1560

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, kw_only=True)
class TaskType:
    """One task type: its handler and everything that the API, the worker and the dashboard need to know of it.

    The soft limit raises TimeLimitReached in the handler after `timeout_seconds`; `grace_seconds` later, or that long
    after a cancel, the child is killed. `lease_seconds` replaces the service's own lease where a handler holds the GIL
    for long. Up to `chunk` tasks may share one hint, when each takes at most `max_seconds_each`.
    """

    name: str
    handler: Handler
    payload: PayloadSpec
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_seconds: int = 300
    grace_seconds: int = 10
    lease_seconds: int | None = None
    queue: str = "tasks"
    chunk: int = 1
    max_seconds_each: float | None = None
    sensitive: bool = False
    settings: tuple[str, ...] = ()
    examples: tuple[Any, ...] = ()
    summary: str = ""
    description: str = ""

    @cached_property
    def schema_hash(self) -> str:
        """Twelve hex digits that change when the payload's JSON Schema does."""
        text = json.dumps(self.payload.json_schema(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Options(TypedDict, total=False):
    """What task_type() takes beside the name; see TaskType."""

    retry: RetryPolicy
    timeout_seconds: int
    grace_seconds: int
    lease_seconds: int | None
    queue: str
    chunk: int
    max_seconds_each: float | None
    sensitive: bool
    settings: tuple[str, ...]
    examples: tuple[Any, ...]


_types: dict[str, TaskType] = {}
_found: Mapping[str, TaskType] | None = None
_lock = threading.RLock()


def task_type(name: str, **options: Unpack[Options]) -> Callable[[H], H]:
    """Declare the function below as the handler of task type `name`; the function itself stays as it is.

    It takes a TaskContext and the payload, whose annotation says what is accepted; its docstring becomes the type's
    summary and description. Raises BadDeclaration at import for anything that would only show later.
    """
    _check_options(name, options)

    def declare(handler: H) -> H:
        summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
        spec = PayloadSpec.of(
            _payload_annotation(name, handler), examples=options.get("examples", ()), where=f"{name}: payload"
        )
        made = TaskType(
            **options,
            name=name,
            handler=handler,
            payload=spec,
            summary=" ".join(summary.split()),
            description=description.strip(),
        )
        _register(made)
        return handler

    return declare


def load_types() -> Mapping[str, TaskType]:
    """All task types by name, sorted; the first call imports every module of tasks.handlers."""
    global _found
    found = _found
    if found is None:
        with _lock:
            package = importlib.import_module("tasks.handlers")
            for module in pkgutil.iter_modules(package.__path__):
                if not module.name.startswith("_"):
                    importlib.import_module(f"tasks.handlers.{module.name}")
            found = _found = MappingProxyType(dict(sorted(_types.items())))
    return found


def get_type(name: str) -> TaskType:
    """The task type of this name. Raises UnknownTaskType, which knows the nearest name."""
    types = load_types()
    try:
        return types[name]
    except KeyError:
        raise UnknownTaskType(name, tuple(types)) from None


def _register(made: TaskType) -> None:
    global _found
    with _lock:
        other = _types.get(made.name)
        if other and _place(other.handler) != _place(made.handler):
            raise BadDeclaration(
                f"{made.name}: declared in {_place(other.handler)} and again in {_place(made.handler)}; rename one"
            )
        _types[made.name] = made
        _found = None  # a type declared after the first look (a test, a plugin) is seen by the next


def _place(handler: Handler) -> str:
    return f"{handler.__module__}.{handler.__qualname__}"


def _payload_annotation(name: str, handler: Handler) -> Any:
    parameters = list(inspect.signature(handler).parameters)
    expected = f"write def {getattr(handler, '__name__', name)}(task: TaskContext, payload: …) -> …"
    if len(parameters) != 2:
        raise BadDeclaration(f"{name}: its handler takes {len(parameters)} parameters instead of 2; {expected}")
    try:
        hints = typing.get_type_hints(handler, include_extras=True)
    except NameError as fault:
        raise BadDeclaration(
            f"{name}: {fault}; import it outside of TYPE_CHECKING, as annotations are read at import"
        ) from fault
    if parameters[1] not in hints:
        raise BadDeclaration(f"{name}: its parameter {parameters[1]!r} has no annotation; {expected}")
    return hints[parameters[1]]


def _check_options(name: str, options: Options) -> None:
    if not NAME.fullmatch(name):
        raise BadDeclaration(f"{name!r} is no name of a task type; give up to 63 of a-z, 0-9 and _, a letter first")
    for option in options:
        if option not in Options.__annotations__:
            nearest = get_close_matches(option, Options.__annotations__, n=1)
            guess = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(Options.__annotations__)}"
            raise BadDeclaration(f"{name}: unknown option {option}; {guess}")
    soft, grace = options.get("timeout_seconds", 300), options.get("grace_seconds", 10)
    if soft < 1 or grace < 1 or soft + grace > LONGEST_HARD_LIMIT_SECONDS:
        raise BadDeclaration(
            f"{name}: timeout_seconds={soft} and grace_seconds={grace}; each must be at least 1 and their sum at most "
            f"{LONGEST_HARD_LIMIT_SECONDS}; split longer work into several tasks"
        )
    if (options.get("chunk", 1) > 1) != (options.get("max_seconds_each") is not None):
        raise BadDeclaration(f"{name}: chunk (more than 1) and max_seconds_each go together; give both or neither")
    if options.get("chunk", 1) < 1:
        raise BadDeclaration(f"{name}: chunk={options['chunk']}; give 1 or more")
    lease = options.get("lease_seconds")
    if lease is not None and lease < 5:
        raise BadDeclaration(f"{name}: lease_seconds={lease}; give at least 5, as it is renewed three times a lease")
    if not NAME.fullmatch(options.get("queue", "tasks").replace("-", "_").replace(".", "_")):
        raise BadDeclaration(f"{name}: queue={options['queue']!r}; give up to 63 of a-z, 0-9, _ - and ., letter first")
