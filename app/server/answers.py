"""Answers that the server gives by itself, without the application: problems like all others."""

import json
from http import HTTPStatus

from gunicorn.http import errors

from app.answer_headers import protected

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "2"
REFUSED: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "uri_too_long"),
    (errors.LimitRequestHeaders, 431, "head_too_large"),
    (errors.ExpectationFailed, 417, "expectation_failed"),
    (errors.UnsupportedTransferCoding, 501, "not_implemented"),
    (errors.ForbiddenProxyRequest, 403, "forbidden"),
    (errors.InvalidResponseHeader, 500, "internal_error"),
    (errors.InvalidResponseHeaderName, 500, "internal_error"),
    (errors.ConfigurationProblem, 500, "internal_error"),
    (TimeoutError, 408, "request_timeout"),
    (errors.ParseException, 400, "malformed_request"),
)
DETAILS = {
    400: "This is no HTTP request as RFC 9112 wants it: {error}.",
    403: "This address may not speak for others.",
    408: "The request did not arrive in time. Send it again, on a better connection.",
    414: "The first line of the request is too long: send less in the query, or use a body.",
    417: "Of Expect only 100-continue is understood.",
    431: "The head of the request is too large: send fewer or shorter headers.",
    500: "Something went wrong here; the log has it.",
    501: "This Transfer-Encoding is not understood: send the body as it is, or chunked.",
}


def for_error(error: BaseException) -> tuple[int, str, str]:
    """Status, code and detail for what was raised outside of the application. Pure."""
    status, code = next(((s, c) for kind, s, c in REFUSED if isinstance(error, kind)), (500, "internal_error"))
    said = "".join(character for character in str(error)[:200] if character.isprintable()).rstrip(".")
    return status, code, DETAILS[status].format(error=said or type(error).__name__)


def as_bytes(status: int, code: str, detail: str) -> bytes:
    """A whole answer, after which the connection is closed. Pure."""
    body = json.dumps(
        {
            "type": f"urn:taskledger:problem:{code}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "errors": {},
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    headers = [("Connection", "close"), ("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body)))]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", RETRY_SECONDS))
    told = protected(headers, is_api=True, is_secure=False)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in told)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
