"""Request bodies: strict JSON, nothing that PostgreSQL could not store, and errors that name the place."""

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from app.errors import Refused
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.payload.fields import storable

MAX_LEVELS = 64
NDJSON = "application/x-ndjson"


def read(request: Request) -> Any:
    """The parsed body. Raises UnsupportedMediaType, RequestEntityTooLarge, BadRequest or Refused (unstorable text)."""
    if not request.is_json:
        sent = f"not {request.mimetype}" if request.mimetype else "none was sent"
        raise UnsupportedMediaType(f"The body must be JSON: send Content-Type: application/json ({sent}).")
    return parse(_body(request))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no JSON, or holds what PostgreSQL could not store."""

    fault: BadRequest | Refused


def read_lines(request: Request) -> list[Any]:
    """The parsed lines of a body with one value a line, empty lines left out; Unreadable in the place of a bad one.

    Raises RequestEntityTooLarge.
    """
    return [_line(line) for line in _body(request).split(b"\n") if line.strip()]


def _line(line: bytes) -> Any:
    try:
        return parse(line)
    except (BadRequest, Refused) as fault:
        return Unreadable(fault)


def _body(request: Request) -> bytes:
    body = request.get_data(cache=False)
    most = request.max_content_length
    if request.content_length is None and most is not None and len(body) >= most:
        raise RequestEntityTooLarge  # werkzeug cuts a body without Content-Length off at the limit, and says nothing
    return body


def parse(body: bytes) -> Any:
    """JSON as RFC 8259 has it: no NaN, no Infinity, no number beyond a double. Raises BadRequest or Refused."""
    if not body.strip():
        raise BadRequest("The body is empty: send a JSON object.")
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: byte {error.start} is {body[error.start]:#04x}.") from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # a constant, a number beyond a double, an integer of more than 4,300 digits
        raise BadRequest(f"The body is not JSON: {_without_advice(error)}.") from None
    # Each level opens a bracket, so most bodies need no second look; escapes are the only way to write what
    # PostgreSQL refuses (raw control characters and broken UTF-8 are refused above).
    if body.count(b"[") + body.count(b"{") > MAX_LEVELS and depth_exceeds(value, MAX_LEVELS):
        raise _too_deep()
    if b"\\u" in body:
        _check_text(value, [])
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is beyond the range of a double")
    return number


def _without_advice(error: ValueError) -> str:
    message = str(error)
    return "an integer has more than 4300 digits" if message.startswith("Exceeds the limit") else message


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested too deeply: {MAX_LEVELS} levels are allowed.")


def _check_text(value: Any, path: list[str]) -> None:
    """Refuse NUL and lone surrogates, naming where they are; the depth was checked before."""
    if isinstance(value, str):
        try:
            storable(value)
        except ValueError as error:
            raise Refused(_nested(path, str(error.args[0]))) from None
    elif isinstance(value, dict):
        for key, below in value.items():
            readable = key.encode(errors="backslashreplace").decode().replace("\x00", "\\u0000")
            if readable != key:
                raise Refused(_nested([*path, readable], "its name holds a NUL character or a lone surrogate"))
            _check_text(below, [*path, key])
    elif isinstance(value, list):
        for index, below in enumerate(value):
            _check_text(below, [*path, str(index)])


def _nested(path: list[str], message: str) -> dict[str, Any]:
    errors: Any = [message]
    for key in reversed(path or ["_schema"]):
        errors = {key: errors}
    return dict(errors)
