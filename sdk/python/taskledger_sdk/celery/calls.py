"""One call as the ledger takes it: Celery's options read, and written as those of a submission."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from celery import Celery
from celery.exceptions import QueueNotFound
from celery.utils.functional import maybe_list
from celery.utils.time import make_aware

from taskledger_sdk.celery import ids, routing
from taskledger_sdk.celery.errors import NotAdopted
from taskledger_sdk.celery.internals import known_tasks
from taskledger_sdk.celery.ledger import ID_LABEL, Ledger
from taskledger_sdk.celery.payloads import MAX_OPTIONS_BYTES, CallOptions, NotJson, encode, encode_call, type_name
from taskledger_sdk.client.options import as_json
from taskledger_sdk.defaults import MAX_LABEL

IGNORED = frozenset(
    (
        "exchange",
        "routing_key",
        "reply_to",
        "compression",
        "delivery_mode",
        "immediate",
        "mandatory",
        "connection",
        "producer",
        "publisher",
        "retry_policy",
        "app_id",
        "user_id",
    )
)
TIMES = ("countdown", "eta", "expires")
HIGH_FROM, LOW_UP_TO, HIGHEST = 7, 2, 9
NORMAL = "normal"
"""The priority of what says none."""
PLAIN = frozenset(("task_type", "result_cls", "serializer", "ignore_result", "delivery_mode", "producer"))
"""Options of which the worker is told nothing, but for results that are ignored."""
INVERTED = ("redis", "rediss", "sentinel", "valkey")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCall:
    """A call that is to become a task. Moments are aware and in UTC."""

    task: str
    """The name that Celery has for it."""
    type: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: CallOptions
    celery_id: str
    """What its caller knows it by."""
    id: UUID | None
    """The same, where the ledger takes it."""
    is_chosen: bool
    """Whether its caller gave the id."""
    priority: str = NORMAL
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None
    expires_in: float | None = None
    """The seconds that were given for it."""
    timeout: int | None = None
    name: str | None = None
    callbacks: Sequence[Any] = field(default_factory=tuple)

    @property
    def payload(self) -> dict[str, Any]:
        """As it is submitted. Raises NotJson, naming the argument."""
        return encode_call(self.args, self.kwargs, self.options)

    @property
    def labels(self) -> dict[str, str]:
        """An id that the ledger does not take is found by a label."""
        return {} if self.id is not None else {ID_LABEL: self.celery_id}

    @property
    def is_over(self) -> bool:
        """Whether it has expired before it could start."""
        return self.expires_at is not None and self.expires_at <= (self.scheduled_at or datetime.now(UTC))


class Reader:
    """Reads calls of one application."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._app: Celery = ledger.app
        self._homes: dict[str, str] = {}

    def read(self, task: str, args: Any, kwargs: Any, options: Mapping[str, Any], parent: Any) -> TaskCall:
        """A call of `send_task`. Raises NotAdopted, NotJson and what the application's router raises.

        `parent` is the task that makes it: `app.current_worker_task`.
        """
        kind = options.get("task_type")  # told by `apply_async`, which has added the task's own options
        said = {name: value for name, value in options.items() if value is not None}
        if kind is None:
            kind = known_tasks(self._app).get(task)
            said = {**_own_options(kind), **said}
        type_, priority = self._route(task, args, kwargs, said)
        said.setdefault("priority", priority)
        _refuse(task, said)
        self._warn_of_ignored(said)
        celery_id, id_ = _ids(said.get("task_id"))
        now = self._app.now() if any(name in said for name in TIMES) else None
        return TaskCall(
            task=task,
            type=type_,
            args=tuple(args or ()),
            kwargs=dict(kwargs or {}),
            options=self._call_options(said, kind, parent, celery_id if id_ is None else None),
            celery_id=celery_id,
            id=id_,
            is_chosen=bool(said.get("task_id")),
            priority=self._priority(said.get("priority")),
            scheduled_at=None if now is None else self._start(said, now),
            expires_at=None if now is None else self._moment(said.get("expires"), now),
            expires_in=_seconds(said.get("expires")),
            timeout=_whole_seconds(said.get("time_limit"), getattr(kind, "time_limit", None)),
            name=str(said["shadow"])[:200] if said.get("shadow") else None,
            callbacks=maybe_list(said.get("link")) or (),
        )

    def _route(self, task: str, args: Any, kwargs: Any, said: Mapping[str, Any]) -> tuple[str, Any]:
        """The type, and the priority that the route of the task says."""
        routed = said.get("route_name") or task
        home = self._homes.get(routed)
        if home is None:
            home = self._homes[routed] = routing.home_of(self._app, routed)
        named = routing.queue_name(said.get("queue"))
        if named and named != home:
            self._check_queue(task, named)
        queue, priority = routing.route_of(self._app, routed, args, kwargs, said, home)
        return type_name(task, None if queue == home else queue, app=self._app.main), priority

    def _check_queue(self, task: str, queue: str) -> None:
        """Raises QueueNotFound for one that the application does not name: nobody would serve it."""
        known = routing.known_queues(self._app)
        if queue not in known:
            raise QueueNotFound(
                f"{task}: the queue {queue!r} is not known; the application names {', '.join(known)}: "
                "add it to task_queues"
            )

    def _start(self, said: Mapping[str, Any], now: datetime) -> datetime | None:
        """The moment of `countdown` or `eta`; None: at once."""
        moment = self._moment(said.get("countdown") or said.get("eta"), now)
        return None if moment is None or moment <= now else moment

    def _moment(self, said: Any, now: datetime) -> datetime | None:
        """A number of seconds from now on, or a moment."""
        if said is None:
            return None
        if isinstance(said, timedelta):
            return (now + said).astimezone(UTC)
        if isinstance(said, int | float):
            return (now + timedelta(seconds=said)).astimezone(UTC)
        moment = datetime.fromisoformat(said) if isinstance(said, str) else said
        return aware_of(self._app, moment).astimezone(UTC)

    def _priority(self, said: Any) -> str:
        """high, normal or low, by the numbers of the application's own broker: Redis has 0 for the most urgent."""
        if not isinstance(said, int):
            return NORMAL
        scheme = str(self._app.conf.broker_write_url or self._app.conf.broker_url or "").partition(":")[0]
        urgency = HIGHEST - said if scheme.partition("+")[0] in INVERTED else said
        return "high" if urgency >= HIGH_FROM else "low" if urgency <= LOW_UP_TO else NORMAL

    def _call_options(self, said: Mapping[str, Any], kind: Any, parent: Any, celery_id: str | None) -> CallOptions:
        if parent is None and celery_id is None and said.keys() <= PLAIN and not said.get("ignore_result"):
            return {}
        request = None if parent is None else parent.request
        stamps = list(said.get("stamped_headers") or ())
        headers = {**(said.get("headers") or {}), **{name: said[name] for name in stamps if name in said}}
        errbacks = [_plain_signature(each) for each in maybe_list(said.get("link_error")) or ()]
        limits = [said.get("time_limit"), said.get("soft_time_limit")]
        own_limits = [getattr(kind, "time_limit", None), getattr(kind, "soft_time_limit", None)]
        made: dict[str, Any] = {
            "id": celery_id,
            "root_id": said.get("root_id") or (request and (request.root_id or request.id)),
            "parent_id": said.get("parent_id") or (request and request.id),
            "group": said.get("group_id"),
            "group_index": said.get("group_index"),
            "shadow": said.get("shadow"),
            "headers": headers,
            "stamped_headers": stamps,
            "errbacks": errbacks,
            "ignore_result": said.get("ignore_result") or None,
            "timelimit": limits if limits != own_limits else None,
            "priority": said.get("priority"),
            "queue": routing.queue_name(said.get("queue")) or None,
        }
        if headers and len(as_json(encode(headers, "headers"))) > MAX_OPTIONS_BYTES:
            raise NotJson(f"headers have more than {MAX_OPTIONS_BYTES} bytes as JSON: give large data as arguments")
        options: CallOptions = {name: value for name, value in made.items() if value not in (None, [], {})}  # type: ignore[assignment]
        return options

    def _warn_of_ignored(self, said: Mapping[str, Any]) -> None:
        for name in said:
            if name in IGNORED:
                self._ledger.warn_once(name, f"The option {name} means nothing to the ledger, and is ignored.")
        serializer = said.get("serializer")
        if serializer not in (None, "json"):
            self._ledger.warn_once(
                "serializer",
                f"The serializer {serializer} is ignored: arguments and results are JSON in the ledger, so that tuples "
                "become lists and keys become texts; what JSON does not have is refused.",
            )


def aware_of(app: Celery, moment: datetime) -> datetime:
    """A moment with its zone. A naive one is in UTC, as Celery's workers read it.

    Only with `enable_utc` off is it in the application's own time zone.
    """
    if moment.tzinfo:
        return moment
    return make_aware(moment, UTC if app.conf.enable_utc else app.timezone)


def _ids(given: Any) -> tuple[str, UUID | None]:
    """What the caller knows the call by, and the same where the ledger takes it; a new one unless given."""
    if not given:
        made = ids.new_task_id()
        return str(made), made
    celery_id = str(given)
    id_ = ids.as_chosen(celery_id)
    if id_ is None and len(celery_id) > MAX_LABEL:
        raise NotJson(f"task_id has {len(celery_id)} characters; at most {MAX_LABEL} are kept")
    return celery_id, id_


def _own_options(kind: Any) -> Mapping[str, Any]:
    """What the task itself says: `Task.apply_async` adds it, and `send_task` by name does so from Celery 5.7 on."""
    if kind is None or not hasattr(kind, "_get_exec_options"):
        return {}
    options = {name: value for name, value in kind._get_exec_options().items() if value is not None}
    return options | ({"ignore_result": True} if getattr(kind, "ignore_result", False) else {})


def _refuse(task: str, said: Mapping[str, Any]) -> None:
    if said.get("replaced_task_nesting"):
        raise NotAdopted(
            f"{task}: self.replace() is not possible in the ledger, where a task keeps what it was called with: "
            "return from the task, and call the other with .delay(), or make both steps of a chain."
        )
    if said.get("chord") is not None:
        raise NotAdopted(
            f"{task}: a task cannot be added to a chord that runs: make it a member of the chord's header from the "
            "start, or start another chord in the body."
        )


def _plain_signature(signature: Any) -> dict[str, Any]:
    plain: dict[str, Any] = encode(dict(signature), "link_error")
    return plain


def _seconds(said: Any) -> float | None:
    """Of a number or a timedelta; None for a moment."""
    if isinstance(said, timedelta):
        return said.total_seconds()
    return float(said) if isinstance(said, int | float) else None


def _whole_seconds(limit: Any, own: Any) -> int | None:
    """The hard limit of a call that has one of its own."""
    return max(1, math.ceil(limit)) if limit and limit != own else None
