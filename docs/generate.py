"""Writes the pages of the reference that the code knows best: the commands, from click, and the API, from OpenAPI.

`make docs` runs it; tests/unit/test_documents.py holds the pages to it.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from taskledger_sdk.cli.groups import RootGroup

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by `make docs` from the code; change the code, not this page. -->"
ABOUT_TLEDGER = (
    "`tledger` speaks HTTP with a service, from any machine; `flask --app app …` ([below](#flask---app-app)) runs",
    "where the service does, and needs its database.",
    "",
    "## tledger",
    "",
    "It comes with the package `taskledger-sdk`, which needs nothing of the service.",
    "[How to use it](../how-to/use-tledger.md).",
    "",
    "| which service, and as whom | by |",
    "| --- | --- |",
    "| 1. what stands on the command line | `--url`, `--profile`; before the command, or behind it |",
    "| 2. the environment | `TASKLEDGER_URL`, `TASKLEDGER_API_KEY`, `TASKLEDGER_PROFILE` |",
    "| 3. what `tledger login` has kept | `$XDG_CONFIG_HOME/taskledger/credentials.json`, or below `~/.config`; 0600 |",
    "| 4. a service that runs in this directory | what `make run` or `tledger up` left there |",
    "",
    "A kept key is sent to the address that it is kept with, and to no other. `TASKLEDGER_CA_FILE` names the",
    "certificate of an authority of your own. Plain `http://` is refused but for this machine itself, unless",
    "`--insecure-http` or `TASKLEDGER_INSECURE_HTTP=1` says that nobody listens on the way.",
    "",
    "| exit status | means |",
    "| --- | --- |",
    "| 0 | done |",
    "| 1 | refused by the service, or failed |",
    "| 2 | wrong usage, or an address or a file of credentials that cannot be used |",
    "| 3 | the service cannot be reached, or cannot answer now |",
    "| 4 | not logged in, or not permitted |",
    "| 5 | what was waited for has ended, and is not COMPLETED |",
    "| 124 | the waiting took longer than `--timeout` |",
    "| 130 | Ctrl-C |",
    "",
    "With `--json` standard output holds the API's own JSON: one document, or, where there are many (`--all`,",
    "`--each`, `apply`, several ids, `events tail`), one a line. Remarks and errors are on standard error. Without it,",
    "moments are in the zone of this machine, ids are whole, and colours are left out where nobody sees them or",
    "`NO_COLOR` is set.",
    "",
    'Other packages add commands by the entry point group `taskledger.commands` (`name = "module:click_command"`).',
    'Completion: `eval "$(_TLEDGER_COMPLETE=bash_source tledger)"` in `~/.bashrc`; also `zsh_source`, `fish_source`.',
)
ABOUT_FLASK = (
    "In the checkout or in the API's image, with the [settings](settings.md) of the service. `doctor`, `tasks` and",
    "`version` also run where these are missing or wrong.",
    "`flask --app app db …` is Flask-Migrate's own; `setup` calls it.",
)
METHODS = ("get", "post", "put", "patch", "delete")


def main() -> int:
    """Write every generated page."""
    sys.path.insert(0, str(ROOT))
    for path, text in pages().items():
        (ROOT / path).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}\n")
    return 0


def pages() -> dict[str, str]:
    """The generated pages: path below the checkout, and text. The application is made, and nothing is connected to."""
    from app.cli import commands
    from app.config import load
    from app.factory import create_app
    from taskledger_sdk.cli import cli

    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": "amqp://127.0.0.1:1//"}
    document = create_app(load(nowhere)).test_client().get("/openapi.json").get_json()
    return {
        "docs/reference/cli.md": "\n".join(_commands(cli, commands())) + "\n",
        "docs/reference/api.md": "\n".join(_api(document)) + "\n",
    }


def _commands(tledger: "RootGroup", commands: list[click.Command]) -> Iterator[str]:
    yield from ("# Commands", "", MADE, "", *ABOUT_TLEDGER)
    context = click.Context(tledger, info_name="tledger")
    yield from _options(tledger, context)
    for name in sorted(tledger.own):
        command = tledger.get_command(context, name)
        if command is not None:
            yield from _command(command, ["tledger", name], context)
    yield from ("", "## flask --app app", "", *ABOUT_FLASK)
    for command in sorted(commands, key=lambda each: str(each.name)):
        yield from _command(command, ["flask --app app", str(command.name)], None)


def _command(command: click.Command, path: list[str], parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=path[-1], parent=parent)
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    # Below `flask --app app` commands go by their own names, so that links to them stay what they were.
    title = " ".join(path if path[0] == "tledger" else path[1:])
    yield from ("", f"{'#' * (1 + len(path))} {title}", "", inspect.cleandoc(command.help or ""), "")
    yield from ("```text", usage, "```")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _command(command.commands[name], [*path, name], context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        yield from ("", "| option | what it does |", "| --- | --- |")
        yield from (_option(each, context) for each in options)


def _option(option: click.Option, context: click.Context) -> str:
    described = option.get_help_record(context)
    names, text = described or (", ".join(option.opts), option.help or "")
    return f"| `{names}` | {text.replace('|', '&#124;')} |".replace("|  |", "| |")


def _api(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (
        "# API",
        "",
        MADE,
        "",
        "Every route, from the service's own OpenAPI document. The document itself is at `/openapi.json` of a running",
        "service, with every schema, and as a page to try things on at `/docs`. Errors: [problems](errors.md).",
    )
    about = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                tag = (operations[method].get("tags") or ["others"])[0]
                by_tag.setdefault(tag, []).append((path, method, operations[method]))
    for tag in sorted(by_tag):
        yield from ("", f"## {tag.replace('_', ' ')}", "", about.get(tag, ""), "")
        yield from ("| route | what it does | query | answers |", "| --- | --- | --- | --- |")
        yield from (_operation(*each) for each in sorted(by_tag[tag], key=lambda each: (each[0], each[1])))


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    query = [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"]
    answers = sorted(status for status in operation["responses"] if status.isdecimal())
    summary = operation.get("summary", "").rstrip(".")
    cells = (f"`{method.upper()} {path}`", summary, ", ".join(f"`{name}`" for name in query), ", ".join(answers))
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


if __name__ == "__main__":
    raise SystemExit(main())
