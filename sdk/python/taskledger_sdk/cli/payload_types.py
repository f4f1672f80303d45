"""The payloads of an installation's task types as a file of source, written or compared."""

from pathlib import Path
from typing import Literal, TypeAlias

import click

from taskledger_sdk.cli.failures import Failed
from taskledger_sdk.cli.session import Session
from taskledger_sdk.connection import Wanted
from taskledger_sdk.http.errors import RequestFailed

Language: TypeAlias = Literal["python", "typescript"]


def write_payload_types(wanted: Wanted, language: Language, out: Path | None, *, check: bool) -> None:
    """Write them to `out`, or print them; with `check`, only compare. Raises Failed where it is not current."""
    source = _source(wanted, language)
    if out is None:
        click.echo(source, nl=False)
        return
    try:
        is_current = out.exists() and out.read_bytes() == source.encode()
        if check and not is_current:
            raise Failed(f"{out} is not what the task types accept now: run `tledger types --{language} --out {out}`.")
        if not is_current:
            out.write_bytes(source.encode())
    except OSError as error:
        raise Failed(f"{out} cannot be read or written: {error.strerror}.") from None
    click.echo(f"{out} is current." if is_current else f"Wrote {out}.", err=True)


def _source(wanted: Wanted, language: Language) -> str:
    from taskledger_sdk import payload_types  # only this command needs it

    session = Session(wanted, as_json=False)
    try:
        return payload_types.source(session.api.get("/task-types")["items"], language)
    except RequestFailed as error:
        raise Failed(error) from error
    finally:
        session.close()
