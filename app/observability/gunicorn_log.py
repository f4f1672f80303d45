"""gunicorn's own lines, written as all others: `gunicorn --logger-class app.observability.gunicorn_log.Logger`."""

import os
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from app.observability import log


class Logger(GunicornLogger):
    """gunicorn's logger without handlers of its own.

    Its first lines come before the settings are read, and must come even if these are wrong: so it looks at LOG_FORMAT
    alone. The settings, file of the log included, hold from the moment the application is made.
    """

    def setup(self, cfg: Any) -> None:
        """Hand on to the root logger what gunicorn would write; an access log, where there is one, stays its own."""
        super().setup(cfg)
        log.configure(log_format=os.environ.get("LOG_FORMAT", "").strip() or "auto")
        for handler in [each for each in self.error_log.handlers if getattr(each, "_gunicorn", False)]:
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True
