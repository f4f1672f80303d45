"""What a run is given: declared by name and type, and checked before the run exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields

from taskledger_sdk.payload import fields as strict
from taskledger_sdk.payload.fields import wrong
from taskledger_sdk.payload.mail_addresses import recipient
from taskledger_sdk.workflows.errors import Faults, InputRefused
from taskledger_sdk.workflows.model import Input
from taskledger_sdk.workflows.templates import MASKED, STEP_KEY

MAX_INPUTS = 100
DECIMAL = r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?$"
MAKERS: Mapping[str, Callable[[], fields.Field[Any]]] = {
    "string": strict.Text,
    "email": lambda: strict.Text(validate=recipient),
    "integer": strict.Whole,
    "number": strict.Real,
    "boolean": strict.Flag,
    "date": strict.Day,
    "moment": strict.Moment,
    "uuid": strict.Identifier,
    "decimal": lambda: strict.Exact(pattern=DECIMAL),
    "object": strict.Json,
    "list": strict.Json,
    "any": lambda: strict.Json(allow_none=True),
}
ONLY_SHOWN = "is what the service shows in place of a secret: send the secret itself"
CONTAINERS = {"object": (dict, "an object"), "list": (list, "a list")}


def parse_inputs(said: Any, path: Sequence[str], faults: Faults) -> dict[str, Input] | None:
    """The declared inputs; notes what is wrong with them."""
    if said is None:
        return None
    if not isinstance(said, dict):
        faults.add(path, 'must be an object: by name, {"type": …}')
        return None
    if len(said) > MAX_INPUTS:
        faults.add(path, f"has {len(said)} names; {MAX_INPUTS} are allowed")
        return None
    return {name: made for name, each in said.items() if (made := _input(name, each, (*path, name), faults))}


def _input(name: str, said: Any, path: Sequence[str], faults: Faults) -> Input | None:
    if not STEP_KEY.fullmatch(name):
        faults.add(path, "its name must be up to 63 letters, digits, _ and -, a letter first")
        return None
    if not isinstance(said, dict) or not said.keys() <= {"type", "required", "default", "description"}:
        faults.add(path, 'must be an object of "type", "required", "default" and "description"')
        return None
    kind, description = said.get("type"), said.get("description", "")
    required = said.get("required", "default" not in said)
    if not isinstance(kind, str) or kind not in MAKERS:
        faults.add((*path, "type"), f"must be one of {', '.join(MAKERS)}")
        return None
    if not isinstance(required, bool) or not isinstance(description, str):
        faults.add(path, '"required" must be true or false, "description" a text')
        return None
    if said.get("default") is not None:
        fault = ONLY_SHOWN if said["default"] == MASKED else _fault(kind, said["default"])
        if fault:
            faults.add((*path, "default"), fault)
    return Input(type=kind, required=required, default=said.get("default"), description=description)


def loaded(inputs: Mapping[str, Input] | None, given: Any) -> dict[str, Any]:
    """The input of a run, with what is not given from its defaults. Raises InputRefused."""
    faults = Faults()
    if not isinstance(given, dict):
        raise InputRefused({"input": [str(wrong("an object", given).messages[0])]})
    fault = _fault("object", given)
    if fault:
        raise InputRefused({"input": [fault]})
    if inputs is None:
        return given
    for name, value in given.items():
        fault = _fault_of(name, value, inputs)
        if fault:
            faults.add(("input", name), fault)
    for name, declared in inputs.items():
        if declared.required and name not in given:
            faults.add(("input", name), "is missing")
    if faults:
        raise InputRefused(faults.tree)
    return {name: declared.default for name, declared in inputs.items() if not declared.required} | given


def _fault_of(name: str, value: Any, inputs: Mapping[str, Input]) -> str | None:
    if name not in inputs:
        return f"is not a known input; known: {', '.join(inputs) or 'none'}"
    if value == MASKED:
        return ONLY_SHOWN
    if value is None and not inputs[name].required:
        return None
    return _fault(inputs[name].type, value)


def _fault(kind: str, value: Any) -> str | None:
    """Why a value is none of this type; None if it is."""
    if kind in CONTAINERS and not isinstance(value, CONTAINERS[kind][0]):
        return str(wrong(CONTAINERS[kind][1], value).messages[0])
    try:
        MAKERS[kind]().deserialize(value)
    except ValidationError as fault:
        return str(fault.messages[0] if isinstance(fault.messages, list) else fault.messages)
    return None
