"""What Flower reads when it starts in the worker's image: it logs as all other processes do."""

import logging as _logging  # without the underscore tornado would take the module for its option of this name

from app.runtime import set_up_logging

_logging.getLogger().handlers.clear()  # tornado's, in its own format
set_up_logging()
