"""`python -m tests.support.servers.with_test_types celery …`: a program that also knows tests/support/task_types/."""

import os
import runpy
import sys
from pathlib import Path

import tasks.handlers

MORE_HANDLERS = "MORE_HANDLERS"  # a folder with types of one test
TEST_HANDLERS = Path(__file__).parents[1] / "task_types"


def main() -> None:
    """Run the module named by the first argument as if it had been called with the others."""
    more = os.environ.get(MORE_HANDLERS)
    tasks.handlers.__path__.extend([str(TEST_HANDLERS), *([more] if more else [])])
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
