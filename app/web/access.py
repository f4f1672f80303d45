"""Who is calling, and whether they may: asked before every request. A route is closed unless it says otherwise."""

import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from flask import Flask, current_app, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.routing import Rule

from app.addresses import caller_of, is_within
from app.clock import utcnow
from app.config import Settings, words
from app.models import Role, Scope
from app.services.accounts import identification, tokens
from app.services.accounts.audit import Actor
from app.services.accounts.principals import Principal
from app.services.accounts.rights import Rights
from app.services.accounts.secrets import API_KEY_PREFIX, digest
from app.services.workflows import Caller as WorkflowCaller
from app.shares import Caller
from app.web import rate_limits
from app.web.current_settings import current_settings
from app.web.transactions import transaction

F = TypeVar("F", bound=Callable[..., Any])

KEY_SECONDS = 2.0  # a revoked key may be accepted for so long by the processes that did not revoke it
MAX_KEYS_KEPT = 10_000
HOW = "Send Authorization: Bearer with an API key (tl_...) or an access token from /api/v1/auth/login."
OPEN_ENDPOINTS = frozenset({"docs.static", "dashboard.static"})  # files of ours; Flask makes these routes by itself


class Access(StrEnum):
    """What a route asks of its caller."""

    OPEN = "nothing"
    ANY = "any credential"
    READ = "the scope tasks:read"
    WRITE = "the scope tasks:write"
    WORK = "the scope work"
    ACCOUNT = "a log-in (an access token), or an admin's key"
    ADMIN = "an admin"
    METRICS = "an address in METRICS_ALLOW, or an admin's key"


def access(kind: Access) -> Callable[[F], F]:
    """Say what a route asks for; innermost, right above the function.

    A route that says nothing asks for READ when it reads and for WRITE otherwise.
    """

    def mark(view: F) -> F:
        view.access = kind  # type: ignore[attr-defined]  # read by access_of
        return view

    return mark


def access_of(view: Callable[..., Any] | None, *, method: str, rule: str, endpoint: str) -> Access:
    """What a route asks for. Pure."""
    access: Access | None = getattr(view, "access", None)
    if access is not None:
        return access
    if endpoint in OPEN_ENDPOINTS:
        return Access.OPEN
    if rule == "/metrics":
        return Access.METRICS
    return Access.READ if method in ("GET", "HEAD", "OPTIONS") else Access.WRITE


def current_principal() -> Principal:
    """Who is calling. Raises Unauthorized on a route that is open to everybody and was called by nobody."""
    principal: Principal | None = g.get("principal")
    if principal is None:
        raise unauthorized(f"This needs a caller. {HOW}")
    return principal


def current_owner_id() -> UUID | None:
    """The account that what this request makes will belong to."""
    principal: Principal | None = g.get("principal")
    return None if principal is None else principal.user_id


def current_rights() -> tuple[Rights, ...]:
    """Which task types the caller may use: the rights of the account, and those of its API key."""
    principal: Principal | None = g.get("principal")
    return () if principal is None else principal.rights


def visible_owner() -> UUID | None:
    """Whose things the caller sees: their own; None (everybody's) for an admin. The `owner` of every service.

    A list that asks this leaves an entry in the audit log (app/web/oversight.py); figures ask
    `current_principal().sees`.
    """
    seen = current_principal().sees
    g.sees_everything = seen is None
    return seen


def current_caller() -> Caller:
    """Who is calling, for places of which nobody may have all."""
    return Caller(account=current_principal().user_id, address=caller_of(request.remote_addr))


def current_actor() -> Actor:
    """Who is calling, for the audit log."""
    principal: Principal | None = g.get("principal")
    return Actor(
        user_id=None if principal is None else principal.user_id,
        key_id=None if principal is None else principal.key_id,
        address=request.remote_addr,
        request_id=g.get("request_id"),
    )


def unauthorized(detail: str) -> Unauthorized:
    """The 401 for a missing or wrong credential."""
    challenge = WWWAuthenticate("bearer", {"realm": "taskledger"})
    return Unauthorized(detail, www_authenticate=challenge)


class ApiKeyCache:
    """API keys that this process has seen in the last KEY_SECONDS, so that a busy one costs no statement a request."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Principal, float]] = {}
        self._lock = threading.Lock()

    def find(self, key: str, *, fresh: bool) -> Principal | None:
        """The principal of a key; `fresh` asks the database whatever is known. None: there is no such key."""
        known = digest(key)
        entry = self._known.get(known)
        if entry is not None and not fresh and time.monotonic() < entry[1] and not _has_ended(entry[0]):
            return entry[0]
        with transaction() as session:
            principal = identification.by_key(
                session, key, now=utcnow(), outside=current_settings().lets_new_accounts_out
            )
        with self._lock:
            if principal is None:
                self._known.pop(known, None)
            else:
                if len(self._known) >= MAX_KEYS_KEPT:
                    self._known.clear()
                self._known[known] = (principal, time.monotonic() + KEY_SECONDS)
        return principal

    def forget(self) -> None:
        """Ask the database for every key again: one was revoked, or an account changed, in this process."""
        with self._lock:
            self._known.clear()


KEYS = ApiKeyCache()


def _has_ended(principal: Principal) -> bool:
    return principal.expires_at is not None and principal.expires_at <= utcnow()


class Gate:
    """Stands before every request of one application."""

    def __init__(self, settings: Settings) -> None:
        self._key, *self._older = (tokens.signing_key(key) for key in settings.secret_keys)
        self._metrics = words(settings.metrics_allow)
        # Blueprints whose callers are known by something else than a token: the dashboard's cookie.
        self.ways_in: dict[str, Callable[[Access], Principal]] = {}

    def check(self, app: Flask) -> None:
        """Let the request in, with its caller in `g.principal`, or raise Unauthorized, Forbidden or TooManyRequests."""
        rule = request.url_rule
        if rule is None or request.method == "OPTIONS":  # 404 and 405 tell nothing; OPTIONS tells what is allowed
            return
        view = app.view_functions[rule.endpoint]
        kind = access_of(view, method=request.method, rule=rule.rule, endpoint=rule.endpoint)
        if kind is Access.OPEN or (kind is Access.METRICS and is_within(request.remote_addr, self._metrics)):
            if rule.endpoint.startswith("auth."):
                rate_limits.count_auth()
            return
        g.principal = self.ways_in.get(request.blueprint or "", self.identify)(kind)
        _check(g.principal, kind)
        if kind is not Access.WORK:  # as many as there are tasks, which were counted when they were submitted
            rate_limits.count(g.principal.user_id)

    def identify(self, kind: Access) -> Principal:
        """The caller of the request. Raises Unauthorized or TooManyRequests."""
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        credential = credential.strip()
        if not credential or scheme.lower() != "bearer":
            raise self._refused(f"This needs a credential. {HOW}")
        if credential.startswith(API_KEY_PREFIX):
            principal = KEYS.find(credential, fresh=kind in (Access.ADMIN, Access.ACCOUNT))
            if principal is None:
                raise self._refused("The API key is unknown, revoked or expired, or its account is closed.")
            return principal
        try:
            claims = tokens.read(credential, key=self._key, older=self._older, now=utcnow())
        except tokens.BadToken as error:
            raise self._refused(str(error)) from None
        with transaction() as session:
            principal = identification.by_claims(
                session, claims, now=utcnow(), outside=current_settings().lets_new_accounts_out
            )
        if principal is None:
            raise self._refused("The access token does not hold any more: log in again.")
        return principal

    def _refused(self, detail: str) -> Unauthorized:
        rate_limits.count_auth()  # raises TooManyRequests instead, when there were too many
        return unauthorized(detail)

    def token_for(self, claims: tokens.Claims) -> str:
        """An access token."""
        return tokens.issue(claims, key=self._key, now=utcnow())


def _check(principal: Principal, kind: Access) -> None:
    allowed = {
        Access.ANY: True,
        Access.READ: principal.may(Scope.READ),
        Access.WRITE: principal.may(Scope.WRITE),
        Access.WORK: principal.may(Scope.WORK),
        Access.ACCOUNT: principal.is_person,
        Access.ADMIN: principal.is_admin,
        Access.METRICS: principal.role == Role.ADMIN,
    }
    if not allowed[kind]:
        raise Forbidden(f"This needs {kind.value}; what you sent is valid, but not for this.")


def describe_access(app: Flask, document: dict[str, Any]) -> None:
    """Say in the OpenAPI document what each operation asks for."""
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (tl_...), or an access token from /api/v1/auth/login",
    }
    document["security"] = [{"bearer": []}]
    for rule, method, operation in operations(app, document):
        view = app.view_functions[rule.endpoint]
        kind = access_of(view, method=method, rule=rule.rule, endpoint=rule.endpoint)
        if kind is Access.OPEN:
            operation["security"] = []
        needed = "no log-in" if kind is Access.OPEN else kind.value
        description = operation.get("description", "")
        operation["description"] = f"{description}\n\nNeeds {needed}.".strip()


def operations(app: Flask, document: dict[str, Any]) -> Iterator[tuple[Rule, str, dict[str, Any]]]:
    """Each operation of an OpenAPI document: its rule, its method, and what the document says of it."""
    for rule in app.url_map.iter_rules():
        path = document["paths"].get(_template(rule.rule), {})
        for method in sorted((rule.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
            if method.lower() in path:
                yield rule, method, path[method.lower()]


def _template(rule: str) -> str:
    """Flask's /tasks/<task_id> as OpenAPI's /tasks/{task_id}."""
    return "/".join(
        f"{{{part[1:-1].rpartition(':')[2]}}}" if part.startswith("<") else part for part in rule.split("/")
    )


def gate() -> Gate:
    """The gate of this application."""
    registered: Gate = current_app.extensions["taskledger.gate"]
    return registered


def register(app: Flask, settings: Settings) -> None:
    """Put the gate before every request of an application."""
    app.extensions["taskledger.gate"] = new_gate = Gate(settings)
    app.before_request(lambda: new_gate.check(app))


def workflow_caller() -> WorkflowCaller:
    """The caller as the services of workflows take it: whose workflows come first, and whether all are visible."""
    return WorkflowCaller(owner_id=current_owner_id(), sees_all=visible_owner() is None)
