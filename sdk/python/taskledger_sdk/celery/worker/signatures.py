"""The JSON Schema of a task's arguments, made from its signature: a call that Python would refuse is refused at once.

Annotations are not looked at: Celery does not check them either, and values may be in kombu's `{"__type__"}` form.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from inspect import Parameter
from typing import Any

from taskledger_sdk.celery.payloads import ARGS, KWARGS

BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def parameters_of(task: Any) -> list[Parameter] | None:
    """What a task takes, without `self`; None where nobody checks it (`typing=False`), or it cannot be told."""
    if not getattr(task, "typing", True):
        return None
    try:
        return list(inspect.signature(task.run).parameters.values())
    except (TypeError, ValueError):
        return None


def schema_of(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """What is said of `args` and `kwargs`, and how they go together: a schema without a type. Pure."""
    positional = [each for each in parameters if each.kind in BY_POSITION]
    named = [each for each in parameters if each.kind in BY_NAME]
    args: dict[str, Any] = {"type": "array"}
    if not any(each.kind is Parameter.VAR_POSITIONAL for each in parameters):
        args["maxItems"] = len(positional)
    kwargs: dict[str, Any] = {"type": "object"}
    if not any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
        kwargs |= {"properties": {each.name: {} for each in named}, "additionalProperties": False}
    rules = [rule for place, each in enumerate(positional) for rule in _rules(place, each)]
    needed = [each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY and _is_needed(each)]
    if needed:
        kwargs["required"] = needed
    return {"properties": {ARGS: args, KWARGS: kwargs}, **({"allOf": rules} if rules else {})}


def _rules(place: int, parameter: Parameter) -> list[dict[str, Any]]:
    """A parameter that may come by position: given when it is needed, and never twice."""
    by_position = {"properties": {ARGS: {"minItems": place + 1}}}
    if parameter.kind is Parameter.POSITIONAL_ONLY:
        return [by_position] if _is_needed(parameter) else []
    by_name = {"properties": {KWARGS: {"required": [parameter.name]}}}
    rules: list[dict[str, Any]] = [{"not": {"allOf": [by_position, by_name]}}]
    return [*rules, {"anyOf": [by_position, by_name]}] if _is_needed(parameter) else rules


def _is_needed(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty
