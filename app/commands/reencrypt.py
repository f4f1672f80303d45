"""`flask --app app reencrypt`: everything that is encrypted in the database, moved to the newest of PAYLOAD_KEYS."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
from flask.cli import with_appcontext
from rich.console import Console
from rich.table import Table

from app.database import in_transaction
from app.services.encryption import ciphertexts, rotation
from app.services.encryption.rotation import Tally
from app.web.current_settings import current_settings

MAX_ROUNDS = 5  # rows that somebody held or changed are looked at again
PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was moved, by place, and the last look, which tells what is left."""

    moved: Counter[str]
    last: Sequence[Tally]

    @property
    def left(self) -> int:
        """Values that still need an old key, or one that is not there, or that do not open."""
        return sum(each.old.total() + each.lost.total() + each.damaged for each in self.last)


@click.command("reencrypt")
@click.option("--dry-run", is_flag=True, help="Count what would be moved, and change nothing.")
@click.option(
    "--batch", type=click.IntRange(1, 1000), default=100, show_default=True, help="Values that a transaction moves."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_appcontext
def reencrypt(*, dry_run: bool, batch: int, as_json: bool) -> None:
    """Encrypt anew, with the first of PAYLOAD_KEYS, what another key has encrypted.

    These are payloads and results of sensitive types, what the history kept of replaced payloads, and the secrets of
    webhooks and callbacks; secrets of webhooks that lie there in the clear are encrypted, too. It may run beside all
    processes, and be interrupted and started again. Statuses and the history of tasks stay as they are.

    Exit status 1 when something is left: a key is missing, or a process still encrypts with an old one.
    """
    keys = ciphertexts.keys(current_settings().payload_keys)
    if not keys:
        raise click.ClickException("PAYLOAD_KEYS is not set: there is no key to encrypt with.")
    outcome = _run(keys, dry_run=dry_run, batch=batch)
    if as_json:
        click.echo(json.dumps(_document(keys, outcome, dry_run=dry_run)))
    else:
        _show(keys, outcome, dry_run=dry_run)
    raise SystemExit(1 if outcome.left and not dry_run else 0)


def _run(keys: ciphertexts.Keys, *, dry_run: bool, batch: int) -> Outcome:
    """Look and move until a look finds nothing to move; the last one is what counts."""
    progress = _Progress()
    if dry_run:
        return Outcome(moved=Counter(), last=rotation.examine(keys, in_transaction, batch=batch, tell=progress))
    moved: Counter[str] = Counter()
    for _ in range(MAX_ROUNDS):
        found = rotation.examine(keys, in_transaction, move=True, batch=batch, tell=progress)
        moved.update({each.place: each.moved for each in found})
        if not any(each.old for each in found):
            return Outcome(moved=moved, last=found)
    return Outcome(moved=moved, last=rotation.examine(keys, in_transaction, batch=batch, tell=progress))


class _Progress:
    """A line on standard error now and then."""

    def __init__(self) -> None:
        self._next = time.monotonic() + PROGRESS_SECONDS

    def __call__(self, tally: Tally) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_SECONDS
            found = tally.old.total()
            click.echo(f"{tally.place}: {tally.looked_at} rows, {found} found, {tally.moved} moved", err=True)


def _document(keys: ciphertexts.Keys, outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    places = [
        {
            "place": each.place,
            "rows": each.looked_at,
            "moved": outcome.moved[each.place],
            "old": each.old,
            "lost": each.lost,
            "damaged": each.damaged,
        }
        for each in outcome.last
    ]
    moved = outcome.moved.total()
    return {"newest": keys[0].name, "dry_run": dry_run, "moved": moved, "left": outcome.left, "places": places}


def _show(keys: ciphertexts.Keys, outcome: Outcome, *, dry_run: bool) -> None:
    console = Console()
    table = Table("what", "rows", "moved", "need an old key", "key is missing", "damaged", title="Encrypted values")
    for each in outcome.last:
        counts = (each.looked_at, outcome.moved[each.place], each.old.total(), each.lost.total(), each.damaged)
        table.add_row(each.place, *(str(count) for count in counts))
    console.print(table)
    console.print(_said(keys, outcome, dry_run=dry_run), highlight=False, soft_wrap=True)


def _said(keys: ciphertexts.Keys, outcome: Outcome, *, dry_run: bool) -> str:
    old: Counter[str] = sum((each.old for each in outcome.last), Counter())
    lost: Counter[str] = sum((each.lost for each in outcome.last), Counter())
    damaged = sum(each.damaged for each in outcome.last)
    if not outcome.left:
        return f"Nothing needs a key but {keys[0].name}, the first of PAYLOAD_KEYS: the others may be taken away."
    said = []
    if old and dry_run:
        said.append(f"{old.total()} values would be moved to key {keys[0].name}, the first of PAYLOAD_KEYS.")
    elif old:
        said.append(
            f"{old.total()} values still need {', '.join(sorted(old))}: a process encrypts with an old key, or a row "
            "is held; restart what has the old settings, and run this again."
        )
    if lost:
        said.append(f"{lost.total()} values need a key that is not there: put {', '.join(sorted(lost))} back.")
    if damaged:
        said.append(f"{damaged} values do not open with their key: they were changed, or moved to another row.")
    return " ".join(said)
