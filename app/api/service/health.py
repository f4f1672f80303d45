"""/health: whether this process lives, and whether what it needs is there."""

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from functools import cache
from hmac import compare_digest
from threading import Lock
from time import monotonic

import marshmallow as ma
import psycopg2
import sqlalchemy as sa
from flask import Response, request
from werkzeug.exceptions import HTTPException

from app.addresses import is_within
from app.clock import utcnow
from app.config import words
from app.messaging import broker_fault
from app.observability.log import get_logger
from app.services.measuring.readiness import database_fault, dispatcher_fault
from app.version import VERSION
from app.web.access import Access, access, gate
from app.web.blueprint import Blueprint
from app.web.current_settings import current_settings
from app.web.responses.problems import problem
from app.web.transactions import db

log = get_logger(__name__)

blueprint = Blueprint(
    "health", __name__, url_prefix="/health", description="For load balancers and container platforms"
)

ANSWER_SECONDS = 2.0
FOR_ANYBODY = {
    "database": "does not answer",
    "broker": "does not answer",
    "dispatcher": "is not known to look for due tasks: start `celery -A tasks beat`",
}

Faults = dict[str, str]


class Live(ma.Schema):
    """The process answers."""

    status = ma.fields.String(required=True, metadata={"enum": ["live"]})


class Ready(ma.Schema):
    """Database, broker and dispatcher are there."""

    status = ma.fields.String(required=True, metadata={"enum": ["ready"]})
    version = ma.fields.String(
        required=True, metadata={"description": "The release that this process runs", "examples": [VERSION]}
    )


@blueprint.get("/live")
@blueprint.response(200, Live())
@access(Access.OPEN)
def live() -> dict[str, str]:
    """Tell that this process lives; nothing else is asked."""
    return {"status": "live"}


@blueprint.get("/ready")
@blueprint.response(200, Ready())
@blueprint.problem(503, "Names what is missing: database, broker or dispatcher; to an admin, why")
@access(Access.OPEN)
def ready() -> dict[str, str] | Response:
    """Tell whether database, broker and dispatcher are there."""
    faults = LOOK.faults(db.engine)
    if not faults:
        return {"status": "ready", "version": VERSION}
    if not _may_see_details(faults):
        faults = {part: FOR_ANYBODY[part] for part in faults}
    detail = "; ".join(f"{part}: {fault}" for part, fault in faults.items())
    return problem(
        503, f"Not ready. {detail}.", code="not_ready", errors={part: [fault] for part, fault in faults.items()}
    )


def _may_see_details(faults: Faults) -> bool:
    """Whether the caller may know hosts, ports and names of users: an admin, a scraper, or who has PROBE_TOKEN."""
    settings = current_settings()
    if is_within(request.remote_addr, words(settings.metrics_allow)):
        return True
    credential = request.headers.get("Authorization", "").partition(" ")[2].strip()
    if settings.probe_token and compare_digest(credential.encode(), settings.probe_token.encode()):
        return True
    if not credential or "database" in faults:  # without the database nobody knows who is an admin
        return False
    try:
        return gate().identify(Access.ADMIN).is_admin
    except (HTTPException, sa.exc.SQLAlchemyError):
        return False


class _Look:
    """What is wrong: one look at a time, whose answer is for all who asked before it began. Strangers may ask, too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: Faults = {}
        self._of: sa.Engine | None = None
        self._began = 0.0

    def faults(self, engine: sa.Engine) -> Faults:
        """What is wrong now."""
        asked = monotonic()
        with self._lock:
            if self._of is not engine or self._began <= asked:
                self._of, self._began = engine, monotonic()
                self._found = _faults(engine)
                if self._found:
                    log.warning("not_ready", **self._found)
            return self._found


LOOK = _Look()


@cache
def _threads() -> ThreadPoolExecutor:
    """Made at the first use, after the server forked. Probes that hang (a frozen broker) keep theirs, and no more."""
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="health")


def _faults(engine: sa.Engine) -> Faults:
    """What is wrong, by part; within ANSWER_SECONDS whatever hangs."""
    until = monotonic() + ANSWER_SECONDS
    ledger = _threads().submit(_ledger_faults, engine)
    broker = _threads().submit(_broker_faults)
    return _result(ledger, until, "database") | _result(broker, until, "broker")


def _result(probe: Future[Faults], until: float, part: str) -> Faults:
    try:
        return probe.result(max(until - monotonic(), 0))
    except TooSlow:
        probe.cancel()
        return {part: f"no answer within {ANSWER_SECONDS:g} s"}


def _ledger_faults(engine: sa.Engine) -> Faults:
    try:
        with engine.connect() as connection:
            if unusable := database_fault(connection):
                return {"database": unusable, "dispatcher": "not known without the database"}
            fault = dispatcher_fault(connection, now=utcnow())
    except (sa.exc.SQLAlchemyError, psycopg2.Error) as error:
        return {"database": _short(error), "dispatcher": "not known without the database"}
    return {"dispatcher": fault} if fault else {}


def _broker_faults() -> Faults:
    fault = broker_fault()
    return {"broker": fault} if fault else {}


def _short(error: Exception) -> str:
    """The first line of what the driver said; SQLAlchemy appends the statement and a link."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
