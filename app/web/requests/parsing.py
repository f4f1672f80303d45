"""How requests become arguments: the parser and the base schema that every resource uses."""

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser

from app.errors import Refused
from app.web.requests import json_body

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
        if lines and req.mimetype == json_body.NDJSON:
            return {lines: json_body.read_lines(req)}
        return json_body.read(req)

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
