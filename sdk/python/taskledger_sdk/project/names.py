"""What a project may be called, and the name of its package. Pure."""

import keyword
import re
import sys

NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
LONGEST = 40  # names of task types have 63 characters, and begin with the package
OURS = {"app", "tasks", "celeryconfig", "taskledger_sdk", "taskledger_server"}
NEEDED = {"apispec", "click", "email_validator", "httpx2", "marshmallow", "pytest", "tests"}
"""What a project imports, and the folder of its tests."""
EXAMPLE = "such as acme-jobs"


class BadName(ValueError):
    """No project can be called so; says why, and what to do."""


def package_of(name: str) -> str:
    """The import name of a project: acme_jobs of acme-jobs. Raises BadName."""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise BadName(
            f"{name[:100]!r} is no name for a project: give up to {LONGEST} of a-z, 0-9, - and _, a letter first, "
            f"{EXAMPLE}"
        )
    package = name.replace("-", "_")
    if why := _taken_by(package):
        raise BadName(f"the package of {name} would be called {package}, and {why}: take another name, {EXAMPLE}")
    return package


def _taken_by(package: str) -> str | None:
    if package in OURS:
        return "Taskledger itself has a module of this name"
    if package in sys.stdlib_module_names:
        return "Python has a module of this name"
    if package in NEEDED:
        return "the project needs a module of this name"
    return "that is a word of Python's own" if keyword.iskeyword(package) else None
