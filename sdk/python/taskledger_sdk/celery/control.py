"""`app.control` of an adopted application: revoke() and terminate() cancel in the ledger."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.utils.imports import symbol_by_name

from taskledger_sdk.celery.errors import NotAdopted
from taskledger_sdk.celery.ledger import ledger_of

DEFAULT = "celery.app.control:Control"


class LedgerControl:
    """Stands before the methods of a Control that the ledger has an answer to; the others still ask the broker."""

    app: Any

    def revoke(self, task_id: Any, destination: Any = None, terminate: bool = False, *args: Any, **options: Any) -> Any:
        """Cancel tasks by their ids. One that runs goes on, unless `terminate`: then it is asked to stop."""
        ledger = ledger_of(self.app)
        if ledger is None or not ledger.is_on:
            return super().revoke(task_id, destination, terminate, *args, **options)  # type: ignore[misc]
        for each in task_id if isinstance(task_id, list | tuple | set) else [task_id]:
            self.app.backend.cancel(str(each), terminate=terminate)
        return [] if options.get("reply") else None

    def terminate(self, task_id: Any, destination: Any = None, signal: Any = None, **options: Any) -> Any:
        """Cancel tasks; those that run are asked to stop."""
        return self.revoke(task_id, destination, True, **options)

    def revoke_by_stamped_headers(self, headers: Any, *args: Any, **options: Any) -> Any:
        """Not in the ledger: a broadcast would reach nobody. Raises NotAdopted."""
        ledger = ledger_of(self.app)
        if ledger is None or not ledger.is_on:
            return super().revoke_by_stamped_headers(headers, *args, **options)  # type: ignore[misc]
        raise NotAdopted(
            f"revoke_by_stamped_headers({headers!r}): the ledger cancels tasks and runs by their ids, also those that "
            "were submitted before a worker came: keep the ids, and give them to revoke()."
        )


def install(app: Celery) -> None:
    """Let the control of an application cancel in the ledger, whichever class it has."""
    kind: Any = symbol_by_name(app.control_cls or DEFAULT)
    if not issubclass(kind, LedgerControl):
        changed: Any = app
        changed.control_cls = type(kind.__name__, (LedgerControl, kind), {"__module__": kind.__module__})
        app.__dict__.pop("control", None)
