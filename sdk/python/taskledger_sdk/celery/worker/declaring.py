"""Declaring the tasks of an application as remote types, and retiring those that it has no more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from taskledger_sdk.celery.worker.types import OWNER, AdoptedType
from taskledger_sdk.client.options import as_json
from taskledger_sdk.client.submissions import JSON
from taskledger_sdk.http.calls import Answer, Call
from taskledger_sdk.http.errors import Conflict, NotFound, NotPermitted, RequestFailed

log = logging.getLogger("taskledger.celery")

MAX_FORMS = 4  # of one payload, while several versions of an application run side by side
LOOK_SECONDS = 300.0
ALIVE = "alive"


class OtherApplication(Exception):
    """A task of this name belongs to another application; the text says what to do."""


class Declaring:
    """What one worker declares for its application."""

    def __init__(
        self, send: Callable[[Call], Answer], types: Mapping[str, AdoptedType], *, owner: str, worker: str
    ) -> None:
        self._send, self._types, self._owner, self._worker = send, types, owner, worker
        self._gone_since: dict[str, float] = {}

    def declare(self) -> int:
        """Declare what is new or has changed; returns how many. Raises RequestFailed, OtherApplication.

        NotPermitted: the key is no admin's; then the types may still have been declared by somebody else.
        """
        known = self._known()
        changed = 0
        others: dict[str, int] | None = None
        for name, each in self._types.items():
            found = known.get(name)
            if found is not None and not _differs(found, each):
                continue
            if others is None:
                others = self._others()
            self._declare(name, each, found, is_shared=others.get(name, 0) > 0)
            changed += 1
        return changed

    def _declare(self, name: str, each: AdoptedType, found: Mapping[str, Any] | None, *, is_shared: bool) -> None:
        body = dict(each.declaration)
        if found is None:
            try:
                self._send(_call("POST", "/task-types", {"name": name, **body}))
                return
            except Conflict:
                log.debug("%s was declared meanwhile", name)
        elif is_shared:
            owner = str(found.get("description") or "").removeprefix(OWNER).partition(":")[0]
            if owner != self._owner:
                raise OtherApplication(
                    f"The task {each.task} is one of the application {owner!r}, too, whose workers run: the ledger "
                    "would hand its calls to either. Give one of them another name."
                )
            body["schema"] = _either(body["schema"], found.get("payload") or {})
        try:
            self._send(_call("PUT", f"/task-types/{quote(name, safe='')}", body))
        except NotFound:
            raise OtherApplication(
                f"The service has a task type {name} of its own: give the task {each.task} another name."
            ) from None

    def look_after(self, *, retire_after: float) -> None:
        """Take back what only a former version needed; called now and then. Raises RequestFailed."""
        known, others, now = self._known(), self._others(), time.monotonic()
        for name, each in self._types.items():
            found = known.get(name)
            if found is not None and _differs(found, each) and not others.get(name):
                self._send(_call("PUT", f"/task-types/{quote(name, safe='')}", dict(each.declaration)))
        mine = f"{OWNER}{self._owner}:"
        gone = {
            name
            for name, found in known.items()
            if str(found.get("description") or "").startswith(mine) and name not in self._types and not others.get(name)
        }
        self._gone_since = {name: self._gone_since.get(name, now) for name in gone}
        for name in [name for name, since in self._gone_since.items() if now - since >= retire_after]:
            log.warning("the task type %s is retired: no worker has had it for %.0f s", name, retire_after)
            self._send(Call(method="DELETE", path=f"/task-types/{quote(name, safe='')}"))

    def _known(self) -> dict[str, Mapping[str, Any]]:
        answer = self._send(Call(method="GET", path="/task-types"))
        return {each["name"]: each for each in answer.data["items"] if each.get("remote")}

    def _others(self) -> dict[str, int]:
        """How many other workers live that run a type, by type."""
        counts: dict[str, int] = {}
        for worker in self._send(Call(method="GET", path="/workers")).data["items"]:
            if worker.get("node") != self._worker and worker.get("state") == ALIVE:
                for name in worker.get("types") or ():
                    counts[name] = counts.get(name, 0) + 1
        return counts


def try_to_declare(declaring: Declaring) -> bool:
    """Declare at the start; False where the key may not, which is said. Raises the rest."""
    try:
        changed = declaring.declare()
    except NotPermitted:
        log.warning(
            "this key may not declare task types: an admin declares them by `celery -A … ledger --declare-only`; "
            "going on with those that are declared"
        )
        return False
    if changed:
        log.info("%d task types were declared", changed)
    return True


def look_after_forever(declaring: Declaring, is_over: Callable[[float], bool], *, retire_after: float) -> None:
    """`look_after` until `is_over`, which waits for so many seconds; what fails is tried again."""
    while not is_over(min(LOOK_SECONDS, max(1.0, retire_after / 4))):
        try:
            declaring.look_after(retire_after=retire_after)
        except RequestFailed as error:
            log.info("task types were not looked after (%s); trying again", error)


def _differs(found: Mapping[str, Any], each: AdoptedType) -> bool:
    said = each.declaration
    return bool(
        found.get("payload") != said["schema"]
        or found.get("description") != said["description"]
        or found["limits"].get("timeout_seconds") != said["timeout"]
        or found.get("rate") != said["rate"]
    )


def _either(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Payloads of this version, or of those that run beside it."""
    forms = [mine, *(form for form in theirs.get("anyOf", [theirs]) if form != mine)]
    return {"anyOf": forms[:MAX_FORMS]}


def _call(method: str, path: str, body: Any) -> Call:
    return Call(method=method, path=path, content=as_json(body), headers=JSON)
