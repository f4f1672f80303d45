"""`tledger types`: list, show, pause, resume, and what they accept as source for type checkers."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.options import connection_options, remember
from taskledger_sdk.cli.pausing import pause_one, resume_one
from taskledger_sdk.cli.payload_types import Language, write_payload_types
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of

COLUMNS = (
    column("name"),
    column("queue"),
    Column(heading="time limit", value=lambda each: text.seconds(each["limits"]["timeout_seconds"])),
    Column(heading="retries", value=lambda each: str(each["retry"]["max_retries"])),
    column("summary"),
)
name_argument = click.argument("name")


@click.group(invoke_without_command=True, no_args_is_help=True)
@click.option("--python", "language", flag_value="python", help="Write the payloads as dataclasses of Python.")
@click.option("--typescript", "language", flag_value="typescript", help="Write them as interfaces of TypeScript.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to; else they are printed.")
@click.option("--check", is_flag=True, help="Write nothing: exit with 1 if --out is not what would be written.")
@connection_options(hidden=True)
@click.pass_context
def types(
    context: click.Context, /, language: Language | None, out: Path | None, *, check: bool, **connection: Any
) -> None:
    """List, show, pause and resume task types, or write their payloads for type checkers."""
    wanted = remember(context, **connection)
    if context.invoked_subcommand is not None:
        if language or out or check:
            raise click.UsageError(f"--python and --typescript stand without {context.invoked_subcommand}.")
        return
    if language is None:
        raise click.UsageError("Give a command, or --python or --typescript.")
    if check and out is None:
        raise click.UsageError("--check compares with a file: give it with --out.")
    write_payload_types(wanted, language, out, check=check)


@types.command(name="list")
@calls_the_api
def list_(session: Session) -> None:
    """List the task types."""
    session.out.page(COLUMNS, session.api.get("/task-types"), empty="There are no task types.")


@types.command()
@name_argument
@calls_the_api
def show(session: Session, name: str) -> None:
    """Show a task type: what its payload must look like, with examples, and its limits."""
    found = session.api.get(path_of("task-types", name))
    if session.out.as_json:
        session.out.document(found)
        return
    limits, retry = found["limits"], found["retry"]
    session.out.fields(
        [
            ("name", found["name"]),
            ("summary", text.compact(found["summary"])),
            ("queue", text.compact(found["queue"])),
            ("time limit", f"{text.seconds(limits['timeout_seconds'])}, and {limits['grace_seconds']} s to end"),
            ("longest time limit", text.seconds(limits["longest_timeout_seconds"])),
            ("retries", _retries(retry)),
            ("can be undone", "yes" if found["compensable"] else "no"),
            ("schema", found["schema_hash"]),
            ("reaches outside", "yes" if found["reaches_outside"] else "no"),
        ]
    )
    session.out.heading("Payload (JSON Schema)")
    session.out.text(text.indented(found["payload"]))
    if found["examples"]:
        session.out.heading("Examples")
        for example in found["examples"]:
            said = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
            session.out.text(f"tledger tasks submit {found['name']} {shlex.quote(said)}")


def _retries(retry: dict[str, Any]) -> str:
    """How many there are, and how long the pauses before them are at most."""
    if not retry["max_retries"]:
        return "none"
    first, longest = text.seconds(retry["base_seconds"]), text.seconds(retry["cap_seconds"])
    pauses = f"after at most {first}, then {retry['factor']:g} times as long each, up to {longest}"
    return f"{retry['max_retries']}; {pauses}"


@types.command()
@name_argument
@click.option("--reason", help="Shown to whoever asks why a task does not run.")
@calls_the_api
def pause(session: Session, name: str, *, reason: str | None) -> None:
    """Pause a task type: no task of it is started, what runs goes on, submissions are accepted. For admins."""
    pause_one(session, "task-types", name, reason)


@types.command()
@name_argument
@calls_the_api
def resume(session: Session, name: str) -> None:
    """Resume a task type. For admins."""
    resume_one(session, "task-types", name)
