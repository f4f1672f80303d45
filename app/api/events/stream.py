"""/events/stream: the caller's events as they happen, by server-sent events; a reconnecting client misses none."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import marshmallow as ma
import sqlalchemy as sa
from flask import Response, current_app, request
from marshmallow import validate
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from app.database import Session
from app.models import Status
from app.services import events
from app.services.events import EventFilter
from app.web.access import Access, current_caller, gate, visible_owner
from app.web.blueprint import Blueprint
from app.web.current_settings import current_settings
from app.web.fields import Few, Several, matching, one_of, type_name
from app.web.live.event_feed import Client, Feed, as_text, feed
from app.web.requests.pagination import IntegerInQuery
from app.web.requests.parsing import StrictSchema, absent
from app.web.responses.problems import problem
from app.web.schemas.tasks import LABEL_KEY, MAX_LABELS

blueprint = Blueprint("events", __name__, url_prefix="/api/v1", description="What happens, as it happens")

MEDIA_TYPE = "text/event-stream"
BEAT_SECONDS = 15.0  # proxies end what is silent for a minute; a revoked key ends its streams within this
RETRY_SECONDS = "5"
RECONNECT_MILLISECONDS = 2_000
PAGE = 1_000
MAX_TASKS = 100
LARGEST_POSITION = 2**63 - 1


class StreamFilter(StrictSchema):
    """Which events; one is sent when all that is given holds."""

    status = Several(one_of(Status), metadata={"description": "Any of these; repeat it, or separate with commas"})
    type = Several(type_name(), metadata={"description": "Any of these types"})
    task_id = Several(
        ma.fields.UUID(error_messages={"invalid_uuid": "is no id"}),
        validate=validate.Length(max=MAX_TASKS, error="must be at most {max}"),
        metadata={"description": "Any of these tasks"},
    )
    label = Few(
        matching(rf"{LABEL_KEY}:[^\u0000]*", "must be key:value, such as team:billing"),
        metadata={"description": "key:value; repeat it for several that must all hold"},
        validate=validate.Length(max=MAX_LABELS, error="must be at most {max}"),
    )
    after = IntegerInQuery(
        load_default=absent,
        validate=validate.Range(0, LARGEST_POSITION, error="must be from {min} to {max}"),
        metadata={"description": "Begin after this number, as with Last-Event-ID; 0: with all that is kept"},
    )


@blueprint.get("/events/stream")
@blueprint.arguments(StreamFilter(), location="query")
@blueprint.response(200, description="Events, until the client leaves or an hour has passed", content_type=MEDIA_TYPE)
@blueprint.problem(503, "Too many streams in this process: try again, or another process")
def stream_events(given: dict[str, Any]) -> Response:
    """Follow the caller's events: `id` is a number to go on after, `event` is task.completed and so on.

    With the header Last-Event-ID (browsers send it by themselves) the stream begins right after that number.
    """
    who, connection = current_caller(), request.environ.get("gunicorn.socket")
    joined = feed().join(_filter(given), _after(given), who=who, connection=connection)
    if joined is None:
        detail = "This process holds as many streams, of all accounts or of yours, as it may; try again in seconds."
        return problem(503, detail, code="too_many_streams", headers={"Retry-After": RETRY_SECONDS})
    client, position = joined
    stream = _Stream(
        feed(),
        client,
        joined_at=position,
        seconds=current_settings().stream_seconds,
        engine=current_app.extensions["taskledger.autocommit"],
        is_allowed=_credential_check(client.criteria.owner),
    )
    body = stream.text()
    response = Response(body, mimetype=MEDIA_TYPE)
    response.call_on_close(partial(feed().leave, client))
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


def _after(given: dict[str, Any]) -> int | None:
    """The number to go on after; what is no number of ours is ignored, as the specification wants."""
    said = request.headers.get("Last-Event-ID", "")
    if said.isascii() and said.isdigit() and len(said) < len(str(LARGEST_POSITION)):
        return int(said)
    after: int | None = given["after"]
    return after


def _filter(given: dict[str, Any]) -> EventFilter:
    return EventFilter(
        owner=visible_owner(),
        statuses=frozenset(given.get("status", ())),
        types=frozenset(given.get("type", ())),
        task_ids=frozenset(given.get("task_id", ())),
        labels=tuple(tuple(label.split(":", 1)) for label in given.get("label", ())),
    )


def _credential_check(owner: UUID | None) -> Callable[[], bool]:
    """Asks later whether the request's credential still holds, and still shows the same."""
    app, environ = current_app._get_current_object(), dict(request.environ)  # type: ignore[attr-defined]  # behind the proxy

    def check() -> bool:
        with app.request_context(environ):
            try:
                return gate().identify(Access.READ).sees == owner
            except HTTPException:
                return False  # the key was revoked, the log-in ended, the account was closed

    return check


class _Stream:
    """One answer: first what happened after the client's number, then what happens. It needs no request any more."""

    def __init__(
        self,
        feed: Feed,
        client: Client,
        *,
        joined_at: int,
        seconds: float,
        engine: sa.Engine,
        is_allowed: Callable[[], bool],
    ) -> None:
        self._feed = feed
        self._client = client
        self._joined_at = joined_at
        self._ends_at = time.monotonic() + seconds
        self._check_at = time.monotonic() + BEAT_SECONDS
        self._engine = engine
        self._is_allowed = is_allowed

    def text(self) -> Iterator[bytes]:
        """What is sent, piece by piece; the server asks for the next one when the one before is on its way."""
        try:
            for piece in self._pieces():
                self._client.sending_since = time.monotonic()
                yield piece
                self._client.sending_since = None
        except SQLAlchemyError:
            return  # the client connects again, and is told then what is wrong
        finally:
            self._client.sending_since = None

    def _pieces(self) -> Iterator[bytes]:
        yield f"retry: {RECONNECT_MILLISECONDS}\n\n".encode()
        yield from self._past()
        yield from self._live()

    def _past(self) -> Iterator[bytes]:
        position = self._client.after
        while position < self._joined_at and self._may_go_on():
            with Session(self._engine) as session:
                page = events.read_after(session, position, limit=min(PAGE, self._joined_at - position))
                wants_labels = self._client.criteria.labels and page.events
                labels = events.labels_of(session, page.events) if wants_labels else {}
            position = min(page.until, self._joined_at) if page.until > position else self._joined_at
            shown = [event for event in page.events if self._client.criteria.matches(event, labels)]
            yield as_text(shown) + _mark(position)

    def _live(self) -> Iterator[bytes]:
        while self._may_go_on():
            arrived = self._client.take(min(BEAT_SECONDS, max(0.0, self._ends_at - time.monotonic())))
            if arrived is not None:
                yield arrived[1]
                self._feed.took(self._client, arrived[0])
                continue
            passed = self._feed.passed(self._client)
            yield b": beat\n\n" if passed is None else _mark(passed)

    def _may_go_on(self) -> bool:
        now = time.monotonic()
        if now >= self._ends_at or self._client.is_too_slow:
            return False
        if now >= self._check_at:
            self._check_at = now + BEAT_SECONDS
            return self._is_allowed()
        return True


def _mark(position: int) -> bytes:
    """No event, but a number to go on after: what a client did not want need not be looked at again."""
    return f": beat\nid: {position}\n\n".encode()
