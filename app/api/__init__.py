"""The HTTP API: one file a resource. Everything that a web application needs of it is registered here."""

from typing import Any

import apispec_oneofschema
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from app.api import (
    accounts,
    api_keys,
    artifacts,
    audit,
    auth,
    compensations,
    cors,
    dead_letters,
    docs,
    encodings,
    environment,
    event_feed,
    event_stream,
    fairness,
    headers,
    health,
    integrity,
    invoices,
    limits,
    metrics,
    oversight,
    problems,
    proxies,
    queue_figures,
    queue_purge,
    queues,
    request_log,
    runs,
    schedules,
    sinks,
    stats,
    storing,
    task_actions,
    task_batches,
    task_types,
    tasks,
    transaction,
    users,
    waiting,
    webhooks,
    why,
    workers,
    workflows,
)
from app.api.fields import verbatim_schema
from app.config import Settings
from app.version import VERSION

RESOURCES = (
    tasks.blueprint,
    task_batches.blueprint,
    task_actions.blueprint,
    compensations.blueprint,
    artifacts.blueprint,
    dead_letters.blueprint,
    schedules.blueprint,
    event_stream.blueprint,
    webhooks.blueprint,
    sinks.blueprint,
    workflows.blueprint,
    runs.blueprint,
    invoices.blueprint,
    task_types.blueprint,
    queues.blueprint,
    queue_figures.blueprint,
    queue_purge.blueprint,
    workers.blueprint,
    why.blueprint,
    stats.blueprint,
    fairness.blueprint,
    integrity.blueprint,
    accounts.blueprint,
    api_keys.blueprint,
    users.blueprint,
    audit.blueprint,
    health.blueprint,
    metrics.blueprint,
)
DESCRIPTION = (
    "Submit a task, read what became of it. A task is durable once 201 is answered; it runs at least once, and one "
    "outcome is recorded. Every error is application/problem+json."
)


class CompactJson(DefaultJSONProvider):
    """Answers as they were built: keys in their order, text as UTF-8."""

    sort_keys = False
    ensure_ascii = False
    compact = True


def register(app: Flask, settings: Settings) -> None:
    """Add the API to an application."""
    app.json = CompactJson(app)
    app.url_map.strict_slashes = False
    transaction.register(app, settings)
    storing.register(app)
    environment.register(app, settings)
    proxies.register(app, settings)
    request_log.register(app)
    headers.register(app)
    cors.register(app, settings)
    limits.register(app, settings)
    auth.register(app, settings)  # from here on a request has a caller, or has been answered
    oversight.register(app)
    encodings.register(app)
    waiting.register(app, most=settings.max_waiters)
    event_feed.register(app, settings)
    api = problems.ProblemApi(app, spec_kwargs=_spec())
    problems.register(app)
    api.ma_plugin.converter.add_attribute_function(verbatim_schema)
    tasks.fill_examples()
    for blueprint in RESOURCES:
        api.register_blueprint(blueprint)
    docs.register(app, api)


def _spec() -> dict[str, Any]:
    return {
        "title": "Taskledger",
        "version": VERSION,
        "openapi_version": "3.1.0",
        "marshmallow_plugin": apispec_oneofschema.MarshmallowPlugin(),
        "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
    }
