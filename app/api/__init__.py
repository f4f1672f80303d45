"""The HTTP API: one file or one folder for each resource, and nothing else. What they share is in app/web/."""

from typing import Any

import apispec_oneofschema
from flask import Flask

from app.api import artifacts, dead_letters, docs, remote_types, repairs, schedules, task_types, triggers
from app.api.accounts import api_keys, audit, log_in, users
from app.api.events import outside, sinks, stream, webhooks
from app.api.invoices import routes as invoices
from app.api.queues import figures, limits, purge
from app.api.queues import routes as queues
from app.api.service import deploy_check, health, integrity, metrics, stats, workers
from app.api.tasks import actions, batches, compensations, signals, steps, why
from app.api.tasks import routes as tasks
from app.api.work import routes as work
from app.api.workflows import definitions, runs
from app.version import VERSION
from app.web.fields import verbatim_schema
from app.web.responses.problems import ProblemApi

RESOURCES = (
    tasks.blueprint,
    batches.blueprint,
    actions.blueprint,
    compensations.blueprint,
    signals.blueprint,
    steps.blueprint,
    artifacts.blueprint,
    dead_letters.blueprint,
    repairs.blueprint,
    schedules.blueprint,
    triggers.blueprint,
    outside.blueprint,
    stream.blueprint,
    webhooks.blueprint,
    sinks.blueprint,
    definitions.blueprint,
    runs.blueprint,
    invoices.blueprint,
    task_types.blueprint,
    remote_types.blueprint,
    work.blueprint,
    queues.blueprint,
    figures.blueprint,
    purge.blueprint,
    workers.blueprint,
    why.blueprint,
    stats.blueprint,
    limits.blueprint,
    integrity.blueprint,
    deploy_check.blueprint,
    log_in.blueprint,
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


def register(app: Flask) -> None:
    """Add the resources, and the document that describes them, to an application that app.web was registered with."""
    api = ProblemApi(app, spec_kwargs=_spec())
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
        "servers": [{"url": "/", "description": "This installation"}],
        "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
    }
