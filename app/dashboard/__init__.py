"""The dashboard: pages for people, rendered here, over the same services, accounts and rights as the API."""

from flask import Flask

from app.config import Settings
from app.dashboard import (
    access,
    accounts,
    artifact_download,
    audit,
    dead_letters,
    errors,
    formatting,
    keys,
    live,
    login,
    overview,
    password_reset,
    queues,
    repairs,
    runs,
    schedule_form,
    schedules,
    sessions,
    submit,
    task_actions,
    task_bulk,
    task_edit,
    task_list,
    task_page,
    task_signals,
    triggers,
    webhooks,
    workers,
    workflows,
)
from app.dashboard.blueprint import blueprint
from app.web.access import gate

PAGES = (
    login,
    overview,
    password_reset,
    task_list,
    task_bulk,
    task_page,
    task_signals,
    task_actions,
    task_edit,
    artifact_download,
    submit,
    dead_letters,
    repairs,
    queues,
    workers,
    schedules,
    schedule_form,
    workflows,
    runs,
    triggers,
    webhooks,
    keys,
    accounts,
    audit,
    live,
)
"""Each module adds its routes to the blueprint when it is imported."""


def register(app: Flask, settings: Settings) -> None:
    """Add the dashboard to an application whose API is registered."""
    sessions.register(app, settings)
    formatting.register(app)
    with app.app_context():
        gate().ways_in[blueprint.name] = access.identify
    errors.register(app)
    app.register_blueprint(blueprint)
