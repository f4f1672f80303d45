"""The Celery application: `celery -A tasks worker`, `beat`, `flower`, `inspect` and `control` find it here."""

import gc
from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader


class Loader(AppLoader):
    """Imports what a program needs without looking for garbage meanwhile, which would be an eighth of its start."""

    def import_default_modules(self) -> Any:
        """As Celery does."""
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return super().import_default_modules()
        finally:
            if was_enabled:
                gc.enable()


app = Celery("tasks", loader=Loader, set_as_current=True)
app.config_from_object("celeryconfig")
