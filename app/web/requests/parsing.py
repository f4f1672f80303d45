"""How requests become arguments: strict JSON bodies, the parser and the base schema that every resource uses."""

import json
import math
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from app.errors import Refused
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.payload.fields import storable

MAX_LEVELS = 64  # of arrays and objects in a body
NDJSON = "application/x-ndjson"
MAX_UNKNOWN = 100  # names that are told to be unknown; each of them costs time and a line of the answer
MAX_GUESSES = 10  # of them, what was probably meant is looked for
ALIKE = 0.7  # from 0 to 1: how much a known name must be like an unknown one to be what was meant
OURS = {
    "Missing data for required field.": "is missing",
    "Field may not be null.": "must not be null",
    "Not a valid list.": "must be a list",
    "Not a valid mapping type.": "must be an object",
}
"""What marshmallow says, as we say it."""


def absent() -> None:
    """The default of optional headers and parameters; a plain None would be documented as a null that can be sent."""


class StrictParser(FlaskParser):
    """Strict JSON bodies; unknown query parameters are refused like unknown fields."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": ma.RAISE}

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """The body of a request; nothing at all is an empty object where the schema says that it may be left out."""
        if (
            getattr(schema, "may_be_left_out", False)
            and not req.content_length
            and "Transfer-Encoding" not in req.headers
        ):
            return {}
        lines = getattr(schema, "lines_are", None)
        if lines and req.mimetype == NDJSON:
            return {lines: read_lines(req)}
        return read_json(req)

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """The query parameters; one that is given twice is refused, unless it may be.

        Whoever looks at the request on its way may have read the other one.
        """
        given = super().load_querystring(req, schema)
        twice = [name for name, values in req.args.lists() if len(values) > 1 and name not in given.multiple_keys]
        if twice:
            raise Refused({name: ["is given more than once"] for name in twice[:MAX_GUESSES]})
        return given

    def load_headers(self, req: Request, schema: ma.Schema) -> Any:
        """The headers that the schema names; the others are not looked at."""
        names = [field.data_key or name for name, field in schema.load_fields.items()]
        return {name: req.headers[name] for name in names if name in req.headers}

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:
        """Say what was refused, without the location that webargs puts on top."""
        (messages,) = error.normalized_messages().values()
        raise _refused(messages) from None


def refusal(error: ma.ValidationError) -> Refused:
    """What a schema found, as an error of the application."""
    return _refused(error.messages)


def _refused(messages: Any) -> Refused:
    return Refused(messages if isinstance(messages, dict) else {"_schema": messages})


class StrictSchema(ma.Schema):
    """An object whose unknown and read-only fields are refused by name."""

    read_only: frozenset[str] = frozenset()
    may_be_left_out = False
    """Whether a request without a body means an empty object."""
    error_messages = {"type": "must be an object", "unknown": "is not a known field"}

    class Meta:
        unknown = ma.RAISE

    def on_bind_field(self, field_name: str, field_obj: ma.fields.Field[Any]) -> None:
        """Say what is wrong in our words, also of fields that are marshmallow's own."""
        said = field_obj.error_messages
        field_obj.error_messages = said | {
            code: OURS[text] for code, text in said.items() if isinstance(text, str) and text in OURS
        }

    def load(self, data: Any, **options: Any) -> Any:
        """As marshmallow does; of very many unknown names only the first are looked at, so that a refusal is cheap."""
        if not isinstance(data, dict) or len(data) <= len(self.load_fields) + MAX_UNKNOWN:
            return super().load(data, **options)
        known = self._names()
        kept = {name: data[name] for name in known if name in data}
        kept |= dict.fromkeys(islice((name for name in data if name not in known), MAX_UNKNOWN))
        try:
            return super().load(kept, **options)
        except ma.ValidationError as error:
            if isinstance(error.messages, dict):
                error.messages["_schema"] = [f"has {len(data) - len(kept)} more fields that are not known"]
            raise

    def handle_error(self, error: ma.ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:
        """Replace "is not a known field" by something that helps."""
        messages = error.messages
        if isinstance(data, Mapping) and isinstance(messages, dict):
            unknown = [name for name in messages if name not in self._names() and name in data]
            for number, name in enumerate(unknown):
                messages[name] = [
                    self._why_unknown(str(name)) if number < MAX_GUESSES else self.error_messages["unknown"]
                ]

    def _names(self) -> list[str]:
        """The fields as they are called in a request, which is not always what we call them."""
        return [field.data_key or name for name, field in self.load_fields.items()]

    def _why_unknown(self, name: str) -> str:
        if name in self.read_only:
            return "is read-only: the service sets it"
        names = self._names()
        nearest = get_close_matches(name[:100], names, n=1, cutoff=ALIKE)
        guess = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(names)}"
        return f"is not a known field; {guess}"


def read_json(request: Request) -> Any:
    """The parsed body. Raises UnsupportedMediaType, RequestEntityTooLarge, BadRequest or Refused (unstorable text)."""
    if not request.is_json:
        sent = f"not {request.mimetype}" if request.mimetype else "none was sent"
        raise UnsupportedMediaType(f"The body must be JSON: send Content-Type: application/json ({sent}).")
    return parse_json(_body(request))


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
        return parse_json(line)
    except (BadRequest, Refused) as fault:
        return Unreadable(fault)


def _body(request: Request) -> bytes:
    body = request.get_data(cache=False)
    most = request.max_content_length
    if request.content_length is None and most is not None and len(body) >= most:
        raise RequestEntityTooLarge  # werkzeug cuts a body without Content-Length off at the limit, and says nothing
    return body


def parse_json(body: bytes) -> Any:
    """JSON as RFC 8259 has it: no NaN, no Infinity, no number beyond a double. Raises BadRequest or Refused."""
    if not body.strip():
        raise BadRequest("The body is empty: send a JSON object.")
    if body.startswith(BOM_UTF8):
        raise BadRequest("The body is not JSON: it begins with a byte order mark (BOM); leave it out.")
    try:
        value = _DECODER.decode(body.decode())
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


# json.loads would make one for each line of a batch.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


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
