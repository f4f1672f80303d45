"""Errors as answers: every one is application/problem+json (RFC 9457), in one shape, without internals."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import marshmallow as ma
import psycopg2
import sqlalchemy.exc
from flask import Flask, Response, current_app, g, request
from flask_smorest import Api, Blueprint
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, HTTPException

from app.database import sqlstate
from app.errors import ProblemError, summary
from app.observability.log import get_logger
from app.observability.scrubbing import scrub
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
QUERY_CANCELED = "57014"
UNREACHABLE = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,  # every connection of the pool is taken
    psycopg2.OperationalError,
)
RETRY_SECONDS = "2"
MAX_ERRORS = 100
MAX_KEY, MAX_MESSAGE, MAX_DETAIL = 200, 500, 1_000  # characters
CODES = {
    400: "malformed_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    412: "precondition_failed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}


class Problem(ma.Schema):
    """What an error answer holds; documentation only, problem() writes it."""

    type = ma.fields.String(required=True, metadata={"description": "A URN that ends with the code"})
    title = ma.fields.String(required=True, metadata={"description": "What kind of problem it is"})
    status = ma.fields.Integer(required=True, metadata={"description": "The HTTP status"})
    detail = ma.fields.String(required=True, metadata={"description": "What was wrong, where, and what to do"})
    code = ma.fields.String(required=True, metadata={"description": "For programs; never changes its meaning"})
    errors = ma.fields.Dict(
        required=True,
        metadata={"description": "Messages at the path of each refused field; payload errors below payload"},
    )


def problem(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    errors: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for one error."""
    code = code or CODES.get(status, "http_error")
    # Drivers quote what they were given. A secret that the first cut splits is behind the second one.
    detail = shortened(scrub(detail[: 4 * MAX_DETAIL]), MAX_DETAIL)
    body = {
        "type": f"urn:taskledger:problem:{code}",
        "title": HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error",
        "status": status,
        "detail": detail,
        "code": code,
        "errors": bounded(errors or {}),
    }
    response = current_app.response_class(current_app.json.dumps(body), status=status, mimetype=MEDIA_TYPE)
    response.headers.update(headers or {})
    return response


def bounded(errors: Mapping[str, Any], most: int = MAX_ERRORS) -> dict[str, Any]:
    """The first messages, with names and texts that were sent cut: an answer is small whatever it answers.

    What is left out is counted at the top, beside what concerns the body as a whole.
    """
    left = [most]
    whole = {"_schema": errors["_schema"]} if "_schema" in errors else {}  # first, so that it is among them
    kept: dict[str, Any] = _bounded({**whole, **errors}, left)
    if left[0] < 0:
        messages = kept.get("_schema", [])
        messages = messages if isinstance(messages, list) else [messages]
        kept["_schema"] = [*messages, f"{-left[0]} more faults are not listed"]
    return kept


def _bounded(errors: Any, left: list[int]) -> Any:
    """`left` counts down, below nothing what is left out; lists and objects that lose all are left out, too."""
    if isinstance(errors, Mapping):
        below = {shortened(str(key), MAX_KEY): _bounded(value, left) for key, value in errors.items()}
        return {key: value for key, value in below.items() if value is not None}
    if isinstance(errors, list | tuple):
        return [each for each in (_bounded(value, left) for value in errors) if each is not None] or None
    left[0] -= 1
    return None if left[0] < 0 else shortened(str(errors), MAX_MESSAGE)


def shortened(text: str, longest: int) -> str:
    """The beginning of a text that is longer."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class ProblemApi(Api):
    """flask-smorest whose errors, real and documented, are problems."""

    ERROR_SCHEMA = Problem

    def __init__(self, app: Flask, **options: Any) -> None:
        self._blueprints: list[Blueprint] = []
        super().__init__(app, **options)

    def register_blueprint(self, blp: Blueprint, **_: Any) -> None:
        """Serve the views of a blueprint; document() reads later what they say of themselves."""
        self._app.register_blueprint(blp)
        self._blueprints.append(blp)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document of all blueprints. That takes a quarter of a start: call it once, when asked."""
        while self._blueprints:
            blueprint = self._blueprints[0]
            blueprint.register_views_in_doc(self, self._app, self.spec, name=blueprint.name, parameters=None)
            self.spec.tag({"name": blueprint.name, "description": blueprint.description})
            del self._blueprints[0]
        document: dict[str, Any] = self.spec.to_dict()
        return document

    def _register_responses(self) -> None:
        # Error responses are documented with this type; successes are looked up again later and stay JSON.
        self.DEFAULT_RESPONSE_CONTENT_TYPE = MEDIA_TYPE
        try:
            super()._register_responses()
        finally:
            del self.DEFAULT_RESPONSE_CONTENT_TYPE

    def _register_pagination_header(self) -> None:
        """No list here is paged by headers."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Anything that Flask, werkzeug or abort() raised."""
        return on_http_error(error)


def on_http_error(error: HTTPException) -> Response:
    """An HTTP error in our words where werkzeug's are vague; its headers (Allow, Retry-After) are kept."""
    if error.response is not None or error.code is None:
        return error.get_response()  # type: ignore[return-value]  # of werkzeug, which Flask takes
    if isinstance(error, ClientDisconnected) and isinstance(error.__context__, TimeoutError):
        return problem(408, "The body of the request came too slowly. Send it again, on a better connection.")
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    if error.code == HTTPStatus.NOT_MODIFIED:
        return Response(status=error.code)
    details = {
        404: f"Nothing answers at {request.path}; /openapi.json lists what does.",
        405: f"{request.method} is not possible here; allowed: {headers.get('Allow', '')}.",
        413: f"The body is larger than {current_app.config['MAX_CONTENT_LENGTH']} bytes, the most that is accepted.",
    }
    has_own_words = error.description is not None and error.description != type(error).description
    detail = error.description if has_own_words else details.get(error.code, error.description)
    return problem(error.code, detail or error.name, headers=headers)


def on_malformed(_: ParseException) -> Response:
    """A body whose chunks are none; what the server notices before the application does, it answers in the same way."""
    return problem(400, "The body is not chunked as RFC 9112 wants it.")


def on_problem(error: ProblemError) -> Response:
    """What a service refuses or cannot do now; the error says how it is answered."""
    seconds = error.retry_after_seconds
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return problem(error.status, error.detail, code=error.code, errors=error.errors, headers=headers)


def on_unknown_type(error: UnknownTaskType) -> Response:
    """A task type that does not exist; task types know nothing of HTTP, so it is said here how it is answered."""
    text = str(error)
    return problem(422, f"{text[0].upper()}{text[1:]}.", code="unknown_task_type", errors={"type": [text]})


def on_payload_refused(error: PayloadRefused) -> Response:
    """A payload that its type refuses."""
    return problem(422, summary(error.errors), code="payload_refused", errors=error.errors)


def on_database_error(error: Exception) -> Response:
    """PostgreSQL away, too busy or too slow: the caller may try again."""
    if isinstance(error, sqlalchemy.exc.DBAPIError) and sqlstate(error) == QUERY_CANCELED:
        detail = "The query took too long and was stopped; ask for less (a narrower filter, a smaller limit)."
    elif isinstance(error, UNREACHABLE):
        detail = "The database does not answer at the moment; try again in a few seconds."
    else:
        return on_unexpected(error)
    log.error("database_unavailable", error=f"{type(error).__name__}: {error}", path=request.path)
    return problem(503, detail, code="database_unavailable", headers={"Retry-After": RETRY_SECONDS})


def on_unexpected(error: Exception) -> Response:
    """A fault of ours: told with the request's id only; the rest is in the log."""
    log.error("request_failed", method=request.method, path=request.path, exc_info=error)
    return problem(500, f"Something went wrong here; the log has it under request_id {g.get('request_id')}.")


def body_of(error: Exception) -> dict[str, Any]:
    """What a request that failed with this error would be answered, for answers that hold several.

    Raises the error itself where it is none of the request's making.
    """
    if not isinstance(error, ProblemError | UnknownTaskType | PayloadRefused | HTTPException):
        raise error
    body: dict[str, Any] = answer_to(error).get_json()
    return body


HANDLERS: tuple[tuple[type[Exception], Callable[[Any], Response]], ...] = (
    (HTTPException, on_http_error),
    (ParseException, on_malformed),
    (ProblemError, on_problem),
    (UnknownTaskType, on_unknown_type),
    (PayloadRefused, on_payload_refused),
    *((kind, on_database_error) for kind in (sqlalchemy.exc.SQLAlchemyError, psycopg2.Error)),
    (Exception, on_unexpected),
)


def answer_to(error: Exception) -> Response:
    """The problem that an error is answered with."""
    return next(handler for kind, handler in HANDLERS if isinstance(error, kind))(error)


def register(app: Flask) -> None:
    """Make every error of the application a problem."""
    for kind, handler in HANDLERS[1:]:  # the first one is ProblemApi's
        app.register_error_handler(kind, handler)
