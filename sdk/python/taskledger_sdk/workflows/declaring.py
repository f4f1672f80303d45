"""Workflows written in Python: one a file of a package, in the words of the JSON form."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from taskledger_sdk import packages
from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.workflows.errors import DefinitionRefused
from taskledger_sdk.workflows.model import COMPENSATE, Definition
from taskledger_sdk.workflows.parsing import parse

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _.-]{0,98}[A-Za-z0-9_.-])?")


@dataclass(frozen=True, kw_only=True)
class DeclaredWorkflow:
    """A workflow that a package brings, which every account may run; `module` is where it stands."""

    name: str
    module: str
    description: str
    written: Mapping[str, Any]

    @cached_property
    def definition(self) -> Definition:
        """Checked. Raises BadDeclaration: a service whose own workflows are wrong does not start."""
        try:
            return parse(dict(self.written))
        except DefinitionRefused as error:
            raise BadDeclaration(f"workflow {self.name}: {error.errors}") from error


_workflows: dict[str, DeclaredWorkflow] = {}


def workflow(
    name: str,
    *,
    description: str,
    steps: Mapping[str, Mapping[str, Any]],
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    labels: Mapping[str, Any] | None = None,
    on_failure: str = COMPENSATE,
) -> DeclaredWorkflow:
    """Declare a workflow, at the top of a module. Raises BadDeclaration for a name that is none, or is taken."""
    module = sys._getframe(1).f_globals.get("__name__", "")
    if not NAME.fullmatch(name):
        raise BadDeclaration(f"{name!r} is no name of a workflow")
    written: dict[str, Any] = {"steps": dict(steps), "on_failure": on_failure, "labels": dict(labels or {})}
    if inputs is not None:
        written["input"] = dict(inputs)
    made = DeclaredWorkflow(name=name, module=module, description=description, written=written)
    other = _workflows.setdefault(name, made)
    if other.module != made.module or other.written != made.written:
        raise BadDeclaration(f"workflow {name}: declared in {other.module} and again in {made.module}; rename one")
    return made


def withdraw(name: str) -> None:
    """Forget a declared workflow: somebody chose not to offer what it needs."""
    _workflows.pop(name, None)


def step(
    type_name: str,
    payload: Any,
    *,
    after: Sequence[str] = (),
    when: Any = None,
    compensate_with: Mapping[str, Any] | None = None,
    max_retries: int | None = None,
    timeout: int | None = None,
    ordering_key: Any = None,
    concurrency_key: Any = None,
    labels: Mapping[str, Any] | None = None,
    for_each: Any = None,
    max_parallel: int | None = None,
) -> dict[str, Any]:
    """A step, as JSON has it; keys and labels, which may be templates, are what its type says unless they are given.

    With `for_each`, a template of a list, it runs once for each item: `ref("item")` and `ref("item.index")`.
    """
    said: dict[str, Any] = {"type": type_name, "payload": payload, "after": list(after), "timeout": timeout}
    said |= {"when": when, "compensate_with": compensate_with}
    said |= _repeated(for_each, max_parallel)
    sharing = {"ordering_key": ordering_key, "concurrency_key": concurrency_key, "labels": labels and dict(labels)}
    said |= {name: value for name, value in sharing.items() if value is not None}
    return said | ({} if max_retries is None else {"retry": {"max_retries": max_retries}})


def wait_for(
    signal: str,
    *,
    schema: Mapping[str, Any] | None = None,
    timeout: Any = None,
    on_timeout: str | None = None,
    after: Sequence[str] = (),
    when: Any = None,
) -> dict[str, Any]:
    """A step that waits for a signal to the run, without a worker; what it returns has its `data`.

    `timeout` is in seconds, or a template that comes to them; `on_timeout` is "fail" (unless given) or "skip".
    """
    said = {"schema": schema and dict(schema), "timeout": timeout, "on_timeout": on_timeout}
    return _without_type("wait_for", signal, said, after, when)


def sleep(seconds: Any, *, after: Sequence[str] = (), when: Any = None) -> dict[str, Any]:
    """A step that waits so many seconds without a worker; they may be a template."""
    return _without_type("sleep", seconds, {}, after, when)


def until(moment: Any, *, after: Sequence[str] = (), when: Any = None) -> dict[str, Any]:
    """A step that waits for a moment without a worker: a text such as 2030-01-01T00:00:00Z, or a template."""
    return _without_type("until", moment, {}, after, when)


def sub_workflow(
    name: str,
    input: Any = None,  # noqa: A002 (as it is called in JSON)
    *,
    after: Sequence[str] = (),
    when: Any = None,
    for_each: Any = None,
    max_parallel: int | None = None,
) -> dict[str, Any]:
    """A step that starts a run of another workflow, and waits for its end."""
    said = {"input": input, **_repeated(for_each, max_parallel)}
    return _without_type("workflow", name, said, after, when)


def _without_type(word: str, value: Any, said: Mapping[str, Any], after: Sequence[str], when: Any) -> dict[str, Any]:
    given = {**said, "after": list(after), "when": when}
    return {word: value, **{name: each for name, each in given.items() if each is not None}}


def _repeated(for_each: Any, max_parallel: int | None) -> dict[str, Any]:
    return {} if for_each is None else {"for_each": for_each, "max_parallel": max_parallel}


def ref(path: str, **default: Any) -> dict[str, Any]:
    """A reference to a value, as in `ref("input.customer_id")` or `ref("input.note", default="")`."""
    return {"$from": path, **default}


def text(*parts: Any) -> dict[str, Any]:
    """Texts and references joined to one text."""
    return {"$text": list(parts)}


def load_workflows() -> Mapping[str, DeclaredWorkflow]:
    """All workflows of the packages that are used, by name. Raises BrokenFiles where a file cannot be imported."""
    packages.load()
    return dict(sorted(_workflows.items()))
