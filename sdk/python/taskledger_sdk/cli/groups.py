"""Groups whose commands are imported when they are asked for: a call loads what it needs."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

PACKAGE = "taskledger_sdk.cli.commands"
ENTRY_POINTS = "taskledger.commands"
"""Other distributions add commands here: `name = "module:click_command"`."""


class RootGroup(click.Group):
    """`own` are our commands; what other distributions add comes below them, and does not take a name of ours."""

    def __init__(self, *arguments: Any, own: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.own = own

    def list_commands(self, context: click.Context) -> list[str]:
        """All names; those of other distributions are looked up, and not loaded."""
        return sorted({*self.own, *(point.name for point in _added())})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """A command, loaded; for one of another distribution that is broken, one that says so."""
        if name in self.own:
            return own_command(name, self.own[name][0])
        return next((_loaded(point) for point in _added() if point.name == name), None)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Our commands are described without being loaded."""
        added = [point for point in _added() if point.name not in self.own]
        for heading, rows in (
            ("Commands", [(name, said) for name, (_, said) in sorted(self.own.items())]),
            ("Commands of other packages", [(point.name, _loaded(point).get_short_help_str(80)) for point in added]),
        ):
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class AliasedGroup(click.Group):
    """A group in which a command may have a second name, which help does not show."""

    def __init__(self, *arguments: Any, aliases: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.aliases = aliases or {}

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """By either name."""
        return super().get_command(context, self.aliases.get(name, name))


def own_command(name: str, module: str) -> click.Command:
    """One of ours: the attribute that is called like it."""
    command = getattr(import_module(f"{PACKAGE}.{module}"), name.replace("-", "_"))
    assert isinstance(command, click.Command)  # noqa: S101 - the table beside `cli` and the modules are of one piece
    return command


def _added() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)


def _loaded(point: EntryPoint) -> click.Command:
    """A command of another distribution. Whatever is wrong with it is its own matter."""
    try:
        command = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is not our code
        return _broken(point, f"{type(error).__name__}: {error}")
    if not isinstance(command, click.Command):
        return _broken(point, f"{point.value} is no command of click")
    return command


def _broken(point: EntryPoint, reason: str) -> click.Command:
    package = point.dist.name if point.dist is not None else point.module
    said = f"It cannot be loaded ({reason}): mend or remove the package {package}."

    def complain(**_: Any) -> None:
        raise click.ClickException(f"{point.name}: {said}")

    anything = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True, "help_option_names": []}
    callback: Callable[..., None] = complain
    return click.Command(
        point.name, callback=callback, params=[anything], short_help=said, help=said, context_settings=settings
    )
