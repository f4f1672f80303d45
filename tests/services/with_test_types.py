"""`python -m tests.services.with_test_types celery -A tasks worker`: a program that also knows tests/handlers/."""

import runpy
import sys
from pathlib import Path

import tasks.handlers

TEST_HANDLERS = Path(__file__).parents[1] / "handlers"


def main() -> None:
    """Run the module named by the first argument as if it had been called with the others."""
    tasks.handlers.__path__.append(str(TEST_HANDLERS))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
