"""What gunicorn reads when it starts in the API's image; options of the command and GUNICORN_CMD_ARGS come after it."""

import sys
from pathlib import Path

logger_class = "app.observability.gunicorn_log.Logger"

# The modules are loaded before the port is opened: whoever connects meanwhile is refused and goes to another container,
# in place of waiting for seconds; and the processes share the memory. With --reload each of them has to load its own.
if "--reload" not in sys.argv:
    sys.path.insert(0, str(Path(__file__).parent))
    import app.factory  # noqa: F401
