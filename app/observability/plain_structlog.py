"""structlog without rich, with which it draws tracebacks where that is installed, and our log never does.

Programs whose processes stay import this first: rich and what it brings are 3 MB of each.
"""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # importing it fails, as if it were not installed
    import structlog  # noqa: F401 (it asks for rich when it is imported, and never again)

    del sys.modules["rich"]
