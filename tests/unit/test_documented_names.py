"""What the documents name exists: commands and their options, make targets, routes, settings, files, services."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
import yaml

from app.cli import commands
from app.config import load
from app.embedded.settings import EmbeddedSettings
from app.factory import create_app
from taskledger_sdk.cli import COMMANDS
from taskledger_sdk.cli.groups import own_command
from tests.deploy.settings import known_variables
from tests.support.nowhere import NOWHERE
from tests.unit.documents import PAGES

ROOT = Path(__file__).parents[2]
GENERATED = ("cli.md", "api.md")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LANGUAGES = {"", "sh", "sql", "json", "yaml", "text", "python", "typescript", "mermaid", "go", "bash"}
LOOKS_LIKE_A_COMMAND = re.compile(r"^(\$ |curl |flask |make |psql |docker |kubectl |helm |celery )", re.MULTILINE)
VARIABLE = re.compile(r"(?<![…A-Z])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
COMPOSE = ["docker-compose.yml", "deploy/compose/dev.yml", "deploy/compose/production.yml"]
OTHERS = {
    "COMPENSATION_FAILED",
    "COMPOSE_FILE",
    "FLASK_DEBUG",
    "REQUIRE_SERVICES",
    "SCHEMA_HASH",
    "SOAK_MINUTES",
    "SOAK_SEED",
    "TASKLEDGER_API_KEY",
    "CELERY_TASKLEDGER_API_KEY",
    "CELERY_TASKLEDGER_DJANGO_TRANSACTIONS",
    "CELERY_TASKLEDGER_URL",
    "TASKLEDGER_ADOPT",
    "TASKLEDGER_CA_FILE",
    "TASKLEDGER_INSECURE_HTTP",
    "TASKLEDGER_PROFILE",
    "TASKLEDGER_URL",
}  # a status, variables of Compose's and Flask's, those of the tests and of the SDK, one of a generated class
TLEDGER = click.Group("tledger", commands={name: own_command(name, module) for name, (module, _) in COMMANDS.items()})
ADDED_COMMANDS = ("up", "server")  # of the wheel taskledger-server
OURS = ("app/", "tasks/", "sdk/", "deploy/", "docs/", "tests/", "benchmarks/")


def fences(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """What stands between backticks in the running text, on one line each."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [re.sub(r"\s+", " ", span) for span in SPAN.findall(text)]


def shown_commands(page: Path) -> list[str]:
    """Commands in the text and in blocks, continued lines joined."""
    blocks = [text.replace("\\\n", " ") for language, text in fences(page) if language == "sh"]
    return [*spans(page), *(line.strip() for block in blocks for line in block.splitlines())]


@pytest.fixture(params=[page for page in PAGES if page.name not in GENERATED], ids=lambda page: page.name)
def page(request) -> Path:
    return request.param


def test_every_block_has_a_language_that_a_test_knows_what_to_do_with(page):
    unknown = [language for language, _ in fences(page) if language not in LANGUAGES]
    hidden = [text for language, text in fences(page) if language == "" and LOOKS_LIKE_A_COMMAND.search(text)]

    assert (unknown, hidden) == ([], [])


def test_commands_and_their_options_exist(page):
    known = {command.name: command for command in commands()}
    wrong = [
        (shown, fault)
        for shown in shown_commands(page)
        if "flask --app app " in shown
        for words in [words_of(shown.partition("flask --app app ")[2])]
        if words and (fault := fault_of(click.Group("app", commands=known), words))
    ]

    assert wrong == []


def test_commands_of_tledger_and_their_options_exist(page):
    wrong = [
        (shown, fault)
        for shown in shown_commands(page)
        for called in re.findall(r"(?:^|[|($]|\s)tledger ((?![-=:])[^`]*)", shown)
        for words in [words_of(called)]
        if words and words[0] not in ADDED_COMMANDS and (fault := fault_of(TLEDGER, words))
    ]

    assert wrong == []


def words_of(text: str) -> list[str]:
    """Up to what the shell takes for itself, without what a reader is to fill in."""
    text = re.split(r"[|;)>#…\[]|&&|\$\(", text)[0]
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def fault_of(group: click.Group, words: list[str]) -> str | None:
    """What of `words` this group does not know; `db` is Flask-Migrate's own."""
    command: click.Command = group
    rest = iter(words)
    for word in rest:
        if word in ("db", "er-diagram"):
            return None
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
        elif word.startswith("--") and word.partition("=")[0] not in options_of(command):
            return f"{command.name} has no option {word}"
        elif isinstance(command, click.Group) and word in options_with_values(command):
            next(rest, None)
    return None


def options_of(command: click.Command) -> set[str]:
    return {name for option in command.params for name in option.opts} | {"--help"}


def options_with_values(command: click.Command) -> set[str]:
    options = (each for each in command.params if isinstance(each, click.Option) and not each.is_flag)
    return {name for option in options for name in option.opts}


def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for shown in shown_commands(page) for found in re.findall(r"(?:^|\s)make ([a-z-]+)", shown)}

    assert sorted(named - targets) == []


@pytest.fixture(scope="module")
def routes() -> set[tuple[str, str]]:
    """Method and path, with {} in the place of each part that varies."""
    application = create_app(load(NOWHERE))
    return {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule).removeprefix("/api/v1"))
        for rule in application.url_map.iter_rules()
        for method in rule.methods or ()
    }


def test_routes_exist(page, routes):
    named = {route for span in spans(page) for route in routes_in(span)}

    assert sorted(route for route in named if not any(fits(route, known) for known in routes)) == []


def routes_in(span: str) -> Iterator[tuple[str, str]]:
    found = re.match(r"((?:GET|POST|PUT|PATCH|DELETE)(?:, (?:GET|POST|PUT|PATCH|DELETE))*) (/[^\s?]*)", span)
    if found and "…" not in found[2]:
        for method in found[1].split(", "):
            yield method, found[2].removeprefix("/api/v1")


def fits(named: tuple[str, str], known: tuple[str, str]) -> bool:
    """Whether the route is the one named; a name may stand for a part that varies."""
    (method, path), (known_method, pattern) = named, known
    parts, known_parts = path.split("/"), pattern.split("/")
    return (
        method == known_method
        and len(parts) == len(known_parts)
        and all(theirs in (ours, "{}") for ours, theirs in zip(parts, known_parts, strict=True))
    )


def test_files_exist(page):
    """But for the types that a page adds, and the secrets that nobody commits."""
    named = [span.split()[0].split(":")[0] for span in spans(page) if span.startswith(OURS)]
    new = [name for _, text in fences(page) for name in re.findall(r'^"""(\w+): ', text)]
    added = {f"tasks/{folder}/{name}.py" for folder in ("handlers", "schedules") for name in new}
    there = [name for name in named if name not in added and "…" not in name and "/secrets/" not in name]

    assert [name for name in there if not any(ROOT.glob(name.rstrip("/")))] == []


def test_services_of_compose_and_its_files_exist(page):
    loaded = [yaml.load((ROOT / name).read_text(), Loader)["services"] for name in COMPOSE]
    services = {name for each in loaded for name in each}
    profiles = {name for each in loaded for service in each.values() for name in service.get("profiles") or ()}
    for shown in shown_commands(page):
        assert set(re.findall(r"--scale (\w+)=", shown)) <= services, shown
        if "tledger" not in shown:  # which has profiles of its own
            assert set(re.findall(r"--profile (\w+)", shown)) <= profiles, shown
        if "docker compose" in shown:
            assert set(re.findall(r"-f (\S+)", shown)) <= set(COMPOSE), shown
            assert set(re.findall(r"compose (?:.* )?exec ([a-z]+) ", shown)) <= services, shown


class Loader(yaml.SafeLoader):
    """Compose's own tag means: take what is here instead of merging."""


Loader.add_constructor("!reset", lambda loader, node: None)


def test_settings_exist(page):
    """Where a page names a variable, somebody reads it."""
    named = {name for span in spans(page) for name in VARIABLE.findall(span)}
    ours = known_variables() | {field.name.upper() for field in fields(EmbeddedSettings)} | OTHERS
    theirs = set(re.findall(r"\$\{(\w+)", "".join((ROOT / name).read_text() for name in COMPOSE)))

    if page.parent.name in ("contributing", "decisions"):  # who changes the code reads of its constants, too
        sources = [path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py")]
        ours |= {name for text in sources for name in re.findall(r"^([A-Z][A-Z_]+)\b.* = ", text, re.MULTILINE)}
    assert sorted(name for name in named - ours - theirs if not name.startswith("OTEL_")) == []
