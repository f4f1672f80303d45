"""The task types of the service: which there are, and what importing them loads."""

import subprocess
import sys

from taskledger_sdk.registry import load_types

HEAVY = ("flask", "sqlalchemy", "apispec", "celery", "app")


def test_every_module_of_handlers_is_a_task_type_of_its_name():
    assert {"fibonacci_calc", "reverse_string", "uppercase_text"} <= set(load_types())


def test_importing_all_handlers_loads_no_web_no_database_and_no_apispec():
    program = (
        "import sys, tasks; from taskledger_sdk.registry import load_types; assert load_types();"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
