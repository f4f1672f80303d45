"""Writes the pages of the reference that the code knows best: the commands, from click, and the API, from OpenAPI.

`make docs` runs it; tests/unit/test_documents.py holds the pages to it.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by `make docs` from the code; change the code, not this page. -->"
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

    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": "amqp://127.0.0.1:1//"}
    document = create_app(load(nowhere)).test_client().get("/openapi.json").get_json()
    return {
        "docs/reference/cli.md": "\n".join(_commands(commands())) + "\n",
        "docs/reference/api.md": "\n".join(_api(document)) + "\n",
    }


def _commands(commands: list[click.Command]) -> Iterator[str]:
    yield from (
        "# Commands",
        "",
        MADE,
        "",
        "All of them are commands of Flask: `flask --app app …`, in the checkout or in the API's image, with the",
        "[settings](settings.md) of the service. `doctor`, `tasks` and `version` also run where these are missing or",
        "wrong.",
        "`flask --app app db …` is Flask-Migrate's own; `setup` calls it.",
    )
    for command in sorted(commands, key=lambda each: str(each.name)):
        yield from _command(command, [str(command.name)], None)


def _command(command: click.Command, path: list[str], parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(["flask --app app", *path]) if parent is None else path[-1])
    context.parent = parent
    usage = " ".join([f"flask --app app {' '.join(path)}", *command.collect_usage_pieces(context)])
    yield from ("", f"{'#' * (1 + len(path))} {' '.join(path)}", "", inspect.cleandoc(command.help or ""), "")
    yield from ("```text", usage, "```")
    options = [each for each in command.params if isinstance(each, click.Option)]
    if options:
        yield from ("", "| option | what it does |", "| --- | --- |")
        yield from (_option(each, context) for each in options)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _command(command.commands[name], [*path, name], context)


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
