"""http_request: one HTTP request to a public host, and what came back."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from marshmallow.validate import Length, Range, Regexp

from taskledger_sdk import RetryPolicy, TaskContext, rule, task_type
from tasks.http_rules import HEADER_NAME, HEADER_VALUE, HTTP_URL, require_status
from tasks.masking import mask_named, mask_url
from tasks.outbound import MAX_REDIRECTS, Answer, Outbound

MAX_BODY_BYTES = 131_072  # of the answer; a result is at most 1 MiB of JSON, where one byte may take six
# These frame the request or name the server; a caller who could set them could smuggle a second request.
OUR_HEADERS = ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding")
OUR_HEADER_BEGINNINGS = ("proxy-", "upgrade")


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """The request, and which answers are good ones."""

    url: str = rule(
        Regexp(HTTP_URL),
        Length(max=2000),
        description="http:// or https://, without a name and password; the host in ASCII (xn--… for others)",
        examples=("https://example.org/health",),
        secret=mask_url,
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[Annotated[str, rule(Regexp(HEADER_NAME))], Annotated[str, rule(Regexp(HEADER_VALUE))]] = rule(
        Length(max=50),
        default_factory=dict,
        description="Sent as they are, with an Idempotency-Key (the task's id) unless you send one",
        secret=mask_named,
    )
    body: Any = rule(
        default=None,
        description="A text is sent as it is, byte for byte; anything else as JSON, with its keys in another order and "
        "its numbers spelled anew; null sends none",
        secret=mask_named,
    )
    body_encoding: Literal["text", "base64"] = rule(
        default="text", description="base64: body is a text that holds the bytes to send in base64"
    )
    timeout: float = rule(Range(min=0.1, max=120), default=30.0, description="Seconds for everything together")
    expected_status: list[Annotated[int, rule(Range(min=100, max=599))]] = rule(
        Length(max=50),
        default_factory=list,
        description="Statuses that are a success, empty: 200 to 299; a redirect among them is not followed",
    )
    follow_redirects: bool = rule(default=True, description="false: a redirect is the answer")

    def __post_init__(self) -> None:
        for name in self.headers:
            if name.lower() in OUR_HEADERS or name.lower().startswith(OUR_HEADER_BEGINNINGS):
                raise ValueError(f"headers: {name} is set by the service itself; leave it out")
        if self.body_encoding == "base64":
            _decoded(self.body)


@task_type(
    "http_request",
    retry=RetryPolicy(max_retries=5, base_seconds=2, cap_seconds=300),
    timeout_seconds=150,
    reaches_outside=True,
    settings=("OUTBOUND_ALLOW",),
    examples=(
        {"url": "http://127.0.0.1:8020/orders?customer_id=customer-1&date_from=2026-01-01&date_to=2026-01-31"},
        {
            "url": "http://127.0.0.1:8020/echo",
            "method": "POST",
            "headers": {"X-Request-Source": "taskledger"},
            "body": {"hello": "world"},
            "expected_status": [200],
        },
    ),
)
def http_request(task: TaskContext, payload: HttpRequest) -> dict[str, Any]:
    """Send one HTTP request; the result has the status, the headers, the body and the time it took.

    Connection errors, timeouts, 429 and 5xx are retried, after the server's Retry-After if it sends one; any other
    status that is not expected fails the task at once. Redirects are followed five times at most, and another host
    gets no credentials; a POST that is answered with 301 or 302 fails, as following would make it a GET without its
    body. Private, loopback and link-local addresses are refused unless OUTBOUND_ALLOW lists them.

    The result is `{"status", "headers", "body", "body_encoding", "truncated", "elapsed_ms", "method", "url",
    "redirects"}`: `body_encoding` is `text`, or `base64` for what is no text; `truncated` says that the body was longer
    than 128 KiB. Its cookies and other credentials are not kept. `redirects` lists what was followed, each as
    `{"method", "url", "status", "location"}`; `method` and `url` are those of the last request.
    """
    headers = {"Idempotency-Key": str(task.id)} | _respelled(payload)
    body = _encoded(payload, headers)
    outbound = Outbound(allow=task.settings.get("OUTBOUND_ALLOW", ""))
    task.log("request_sent", method=payload.method, url=mask_url(payload.url))
    answer = outbound.send(
        payload.method,
        payload.url,
        headers=headers,
        body=body,
        seconds=payload.timeout,
        most_bytes=MAX_BODY_BYTES,
        redirects=MAX_REDIRECTS if payload.follow_redirects else 0,
        accepts=payload.expected_status,
        may_become_get=False,
    )
    task.log("answer_received", status=answer.status, elapsed_ms=answer.elapsed_ms)
    require_status(answer, payload.expected_status)
    text, encoding = _readable(answer)
    return {
        "status": answer.status,
        "headers": _shown(answer.headers),
        "body": text,
        "body_encoding": encoding,
        "truncated": answer.truncated,
        "elapsed_ms": answer.elapsed_ms,
        "method": answer.method,
        "url": mask_url(answer.url),
        "redirects": [
            {
                "method": hop.method,
                "url": mask_url(hop.url),
                "status": hop.status,
                "location": mask_url(hop.location),
            }
            for hop in answer.redirects
        ],
    }


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    """Without credentials; a Location may carry some in its query."""
    return {
        name: mask_url(value) if name.lower() in ("location", "content-location") else value
        for name, value in mask_named(dict(headers)).items()
    }


def _respelled(payload: HttpRequest) -> dict[str, str]:
    """The caller's headers; names of ours that they replace get our spelling, so that none is sent twice."""
    spelled = {"idempotency-key": "Idempotency-Key", "content-type": "Content-Type", "user-agent": "User-Agent"}
    spelled |= {"accept": "Accept", "accept-encoding": "Accept-Encoding"}
    return {spelled.get(name.lower(), name): value for name, value in payload.headers.items()}


def _encoded(payload: HttpRequest, headers: dict[str, str]) -> bytes | None:
    """The body as bytes; says in the headers what it is, unless they do already."""
    body = payload.body
    if body is None:
        return None
    if payload.body_encoding == "base64":
        headers.setdefault("Content-Type", "application/octet-stream")
        return _decoded(body)
    if isinstance(body, str):
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return body.encode()
    headers.setdefault("Content-Type", "application/json")
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(body: Any) -> bytes:
    try:
        return base64.b64decode(body.encode("ascii"), validate=True)
    except (AttributeError, UnicodeEncodeError, binascii.Error):
        raise ValueError("body: must be a text in base64, as body_encoding says") from None


def _readable(answer: Answer) -> tuple[str, str]:
    """The body as text if it is some, else in base64; and which of the two."""
    decoder = _decoder(answer.headers)
    try:
        # Not final: the limit may have cut a character in two.
        text = decoder.decode(answer.body, not answer.truncated)
        text.encode()  # some old encodings have room for lone surrogates, which cannot be stored
    except ValueError:
        text = "\x00"
    if "\x00" in text:
        return base64.b64encode(answer.body).decode(), "base64"
    return text, "text"


def _decoder(headers: Mapping[str, str]) -> codecs.IncrementalDecoder:
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    charset = kind.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    with suppress(UnicodeDecodeError):  # then it is one, and these bytes are no text in it
        try:
            b"    ".decode(charset or "utf-8")  # unlike the codecs module, this knows zlib for no encoding of text
        except LookupError:
            charset = ""
    return codecs.getincrementaldecoder(charset or "utf-8")()
