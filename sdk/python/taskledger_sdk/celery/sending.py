"""What stands in place of `app.send_task`: each call becomes a task of the ledger, or with callbacks a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from celery import Celery

from taskledger_sdk.celery import ids, transactions
from taskledger_sdk.celery.calls import NORMAL, Reader, TaskCall
from taskledger_sdk.celery.current import running
from taskledger_sdk.celery.definitions import Definition
from taskledger_sdk.celery.errors import NotDeclared
from taskledger_sdk.celery.ledger import Ledger, log, reached
from taskledger_sdk.celery.payloads import type_name
from taskledger_sdk.celery.trails import trailed
from taskledger_sdk.celery.transactions import Transaction
from taskledger_sdk.client import Invalid, Submission
from taskledger_sdk.client.options import TaskOptions


class Sender:
    """`app.send_task` of an adopted application."""

    def __init__(self, ledger: Ledger, original: Callable[..., Any]) -> None:
        self.ledger = ledger
        self.reader = Reader(ledger)
        self._app: Celery = ledger.app
        self._original = original
        self._undeclared: set[str] = set()
        """Types of tasks on other queues than their own that no worker serves, as far as this process has tried."""

    def __call__(self, name: str, args: Any = None, kwargs: Any = None, *given: Any, **options: Any) -> Any:
        """Submit a task by name. Raises NotJson, NotAdopted, NotDeclared, LedgerAway, RequestFailed."""
        options |= zip(("countdown", "eta", "task_id", "producer"), given, strict=False)
        # What comes from `apply_async` is not eager: that would have run it. To ask the configuration takes a while.
        if not (self.ledger.settings.enabled if "task_type" in options else self.ledger.is_on):
            return self._original(name, args, kwargs, **options)
        attempt = running.get()
        if attempt is not None and options.get("retries") and options.get("task_id") == attempt.id:
            if options.get("queue"):
                text = f"{name}: self.retry(queue=…) is ignored: a task keeps the queue that it was submitted to."
                self.ledger.warn_once(f"retry of {name}", text)
            attempt.ask_for_retry(args or (), kwargs or {}, options)
            return self._result(options, attempt.id)
        parent = self._app.current_worker_task
        call = self.reader.read(name, args, kwargs, options, parent)
        if call.callbacks:
            result = self._submit_with_callbacks(call, options)
        else:
            result = self._result(options, self.submit(call))
        return trailed(parent, result, options)

    def submit(self, call: TaskCall) -> str:
        """Submit one task, now or with the transaction of the caller; the id that its caller knows it by."""
        if call.is_over:
            self._forgo(call)
            return call.celery_id
        transaction = transactions.current(with_django=self.ledger.settings.django_transactions)
        if transaction is None:
            return self._send(call)
        if transaction.has_ledger():
            return self._submit_in(transaction, call)
        call.payload  # noqa: B018  (what cannot be sent is said here, and not after the commit)
        transaction.after_commit(lambda: self._send(call))
        return call.celery_id

    def start_run(self, definition: Definition, name: str) -> None:
        """Start a run, now or when the transaction of the caller has been committed."""
        definition.body(name)  # what cannot be said is refused here, and not after the commit
        transaction = transactions.current(with_django=self.ledger.settings.django_transactions)
        if transaction is None:
            self._start_run(definition, name)
        else:
            transaction.after_commit(lambda: self._start_run(definition, name))

    def submit_many(self, calls: list[TaskCall]) -> None:
        """Submit many that have nothing to do with one another, in batches."""
        for call in calls:
            if call.is_over:
                self._forgo(call)
        calls = [call for call in calls if not call.is_over]
        transaction = transactions.current(with_django=self.ledger.settings.django_transactions)
        if transaction is None:
            self._send_many(calls)
        else:
            transaction.after_commit(lambda: self._send_many(calls))

    def _submit_with_callbacks(self, call: TaskCall, options: Mapping[str, Any]) -> Any:
        """As a run, of which the task and each of its callbacks are steps; the result of the task."""
        definition = Definition(self.reader, ids.new_run_id(), self._app)
        result = definition.add_call(call, result_cls=options.get("result_cls"))
        self.start_run(definition, call.task)
        return result

    def _forgo(self, call: TaskCall) -> None:
        log.warning("%s[%s] has expired before it could start, and was not submitted.", call.task, call.celery_id)
        self.ledger.forgo(call.celery_id)

    def _send(self, call: TaskCall) -> str:
        id_, type_ = call.id or ids.new_task_id(), self._type_of(call)
        try:
            with reached():
                self.ledger.client.send(type_, call.payload, _options(call), id_)
        except Invalid as error:
            if not self._is_for_home(error, call, type_):
                raise self._explained(error, call) from None
            return self._send(call)
        if call.id is None:
            self.ledger.remember(call.celery_id, id_)
        return call.celery_id

    def _send_many(self, calls: list[TaskCall]) -> None:
        submissions = [Submission(self._type_of(each), each.payload, _options(each), each.id) for each in calls]
        for_home = []
        with reached():
            results = self.ledger.client.submit_many(submissions)
            for call, sent, done in zip(calls, submissions, results, strict=True):
                if isinstance(done.error, Invalid):
                    if not self._is_for_home(done.error, call, sent.type):
                        raise self._explained(done.error, call)
                    for_home.append(call)
                elif done.error is not None:
                    raise done.error
        if for_home:
            self._send_many(for_home)

    def _submit_in(self, transaction: Transaction, call: TaskCall) -> str:
        """The SQL function draws the id: one that the caller chose becomes a label."""
        if call.is_chosen and call.id is not None:
            call = replace(call, id=None, options={**call.options, "id": call.celery_id})
        id_ = transaction.submit(
            {"type": call.type, "payload": call.payload, "priority": call.priority, **_options(call)}
        )
        if not call.is_chosen:
            return str(id_)
        self.ledger.remember(call.celery_id, id_)
        return call.celery_id

    def _start_run(self, definition: Definition, name: str) -> None:
        try:
            self.ledger.start_run(definition.run, definition.body(name))
        except Invalid as error:
            if not _is_unknown(error) or not definition.send_home():
                raise self._explained(error, None) from None
            self.ledger.warn_once(
                "canvas", "Steps of a canvas whose queue no worker serves go to the workers of the tasks' own queues."
            )
            self._start_run(definition, name)

    def _type_of(self, call: TaskCall) -> str:
        return type_name(call.task, app=self._app.main) if call.type in self._undeclared else call.type

    def _is_for_home(self, error: Invalid, call: TaskCall, sent: str) -> bool:
        """Whether no worker has declared the task for this queue, so that those of its own queue are to run it.

        `sent` is the type as which it was refused: another thread may have found out meanwhile.
        """
        if not _is_unknown(error) or sent == type_name(call.task, app=self._app.main):
            return False
        self._undeclared.add(call.type)
        self.ledger.warn_once(
            call.type,
            f"No worker serves {call.task} on the queue {call.options.get('queue')}: its calls go to the workers of "
            "the task's own queue.",
        )
        return True

    def _explained(self, error: Invalid, call: TaskCall | None) -> Exception:
        """What to do about a type that is not there; any other refusal stands."""
        if not _is_unknown(error):
            return error
        name = call.task if call is not None else "one of the tasks"
        return NotDeclared(
            f"{name}: the ledger does not know it. Start `celery -A {self._app.main or 'proj'} ledger`, which declares "
            "the tasks of the application."
        )

    def _result(self, options: Mapping[str, Any], id_: str) -> Any:
        result = (options.get("result_cls") or self._app.AsyncResult)(id_)
        result.ignored = options.get("ignore_result")
        return result


def _is_unknown(error: Invalid) -> bool:
    """Whether a task type was not there."""
    return any(path == "type" or path.endswith(".type") for path, _ in error.field_errors())


def _options(call: TaskCall) -> TaskOptions:
    options: dict[str, Any] = {
        "priority": None if call.priority == NORMAL else call.priority,  # unsaid: the service has less to check
        "scheduled_at": call.scheduled_at,
        "expires_at": call.expires_at,
        "timeout": call.timeout,
        "labels": call.labels,
        "name": call.name,
    }
    return {name: value for name, value in options.items() if value}  # type: ignore[return-value]
