"""What Flower reads when it starts in the worker's image: it logs as all other processes do."""

# With underscores: tornado would take `logging` for its option of this name.
import logging as _logging
import os as _os
import sys as _sys

_sys.path.insert(0, _os.getcwd())
from app.runtime import set_up_logging as _set_up_logging

_logging.getLogger().handlers.clear()  # tornado's, in its own format
_set_up_logging()
