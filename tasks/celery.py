"""The Celery application: `celery -A tasks worker`, `beat`, `flower`, `inspect` and `control` find it here."""

from celery import Celery

app = Celery("tasks", set_as_current=True)
app.config_from_object("celeryconfig")
