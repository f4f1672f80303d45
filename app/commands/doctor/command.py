"""The command."""

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.commands.doctor.examination import examine
from app.commands.doctor.finding import Finding, State

COLOURS = {State.OK: "green", State.WARNING: "yellow", State.FAULT: "red", State.UNKNOWN: "magenta"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--strict", is_flag=True, help="Count warnings as faults.")
@click.option(
    "--whole-audit-log", is_flag=True, help="Verify every entry of the audit log, and not the newest 10,000 only."
)
def doctor(*, as_json: bool, strict: bool, whole_audit_log: bool) -> None:
    """Verify the production checklist; exit status 1 when a point is a fault, or with --strict a warning.

    It changes nothing, but for a file of a few bytes that it writes to the artifact store and removes, and a message
    in the queue of dead letters. Run it where the API runs, with the API's environment.
    """
    findings = examine(whole_audit_log=whole_audit_log)
    bad = {State.FAULT, State.UNKNOWN} | ({State.WARNING} if strict else set())
    is_well = not any(found.state in bad for found in findings)
    if as_json:
        counts = {state.value: sum(found.state is state for found in findings) for state in State}
        click.echo(json.dumps({"ok": is_well, **counts, "findings": [asdict(each) for each in findings]}, indent=2))
    else:
        _show(findings)
    raise SystemExit(0 if is_well else 1)


def _show(findings: list[Finding]) -> None:
    table = Table("point", "state", "seen", "what to do", show_lines=False)
    for found in findings:
        state = f"[{COLOURS[found.state]}]{found.state}[/]"
        table.add_row(found.point, state, escape(found.seen), escape(found.advice))
    console = Console()
    console.print(table)
    faults = sum(found.state is State.FAULT for found in findings)
    warnings = sum(found.state is State.WARNING for found in findings)
    console.print(f"{len(findings)} points, {faults} faults, {warnings} warnings.")
