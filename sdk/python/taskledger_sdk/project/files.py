"""The files of a new project, made from templates. Pure: nothing is written here."""

from importlib import resources
from string import Template

from taskledger_sdk import __version__
from taskledger_sdk.project.names import package_of

FILES = {
    ".dockerignore": "dockerignore",
    ".gitignore": "gitignore",
    "Dockerfile": "Dockerfile",
    "README.md": "README.md",
    "compose.override.yml": "compose.override.yml",
    "pyproject.toml": "pyproject.toml",
    "{package}/__init__.py": "package/__init__.py",
    "{package}/greet.py": "package/greet.py",
    "{package}/morning.py": "package/morning.py",
    "{package}/py.typed": "package/py.typed",
    "{package}/welcome.py": "package/welcome.py",
    "tests/test_greet.py": "tests/test_greet.py",
    "tests/test_morning.py": "tests/test_morning.py",
    "tests/test_welcome.py": "tests/test_welcome.py",
}
"""Each file of the project, and the template that it is made from."""


def files(name: str) -> dict[str, str]:
    """Path and text of each file of a project, `acme-jobs` for instance; paths are below its folder. Raises BadName."""
    package = package_of(name)
    values = {"name": name, "package": package, "version": __version__}
    templates = resources.files(__package__) / "templates"
    return {
        path.format(package=package): Template(
            templates.joinpath(f"{template}.tmpl").read_text(encoding="utf-8")
        ).substitute(values)
        for path, template in FILES.items()
    }
