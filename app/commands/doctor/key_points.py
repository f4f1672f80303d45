"""Points about keys: what in the database still needs an old one, and whether the old one may be taken away."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from app.commands.doctor.finding import Finding, Findings, fault, ok, warning
from app.config import Settings
from app.database import Session
from app.services import idempotency
from app.services.encryption import ciphertexts, rotation

POINT = "keys"
LOOK_SECONDS = 15.0
RECENT_KEYS = sa.text("SELECT count(*) FROM idempotency_keys WHERE created_at > now() - make_interval(secs => :kept)")


def of_keys(session: Session, settings: Settings) -> Findings:
    """Reads every row that may hold something encrypted, for as long as a person likes to wait."""
    yield _secret_key(session, settings)
    keys = ciphertexts.keys(settings.payload_keys)

    def here(work: Callable[[Session], Any]) -> Any:
        return work(session)

    found = rotation.examine(keys, here, until=time.monotonic() + LOOK_SECONDS)
    yield from _of_payloads(keys, found)


def _secret_key(session: Session, settings: Settings) -> Finding:
    if not settings.secret_key_previous:
        return ok("second SECRET_KEY", "none: nothing but SECRET_KEY is accepted")
    if settings.secret_key_previous == settings.secret_key:
        seen = "SECRET_KEY_PREVIOUS is the same as SECRET_KEY"
        return warning("second SECRET_KEY", seen, "unset it, or put the new key into SECRET_KEY")
    hours = round(idempotency.KEPT.total_seconds() / 3600)
    count = session.scalar(RECENT_KEYS, {"kept": idempotency.KEPT.total_seconds()}) or 0
    seen = f"accepted, too; at most {count} Idempotency-Keys of the last {hours} hours, and log-ins, may need it"
    return warning("second SECRET_KEY", seen, f"unset SECRET_KEY_PREVIOUS {hours} hours after the last process changed")


def _of_payloads(keys: ciphertexts.Keys, found: list[rotation.Tally]) -> Findings:
    lost: Counter[str] = sum((each.lost for each in found), Counter())
    damaged = [f"{each.damaged} {each.place}" for each in found if each.damaged]
    if lost:
        seen = f"keys that PAYLOAD_KEYS has not are needed by {_counted(found, 'lost')}"
        yield fault(POINT, seen, f"put the missing keys behind the first one ({', '.join(sorted(lost))})")
    if damaged:
        yield fault(POINT, f"do not open with their key: {', '.join(damaged)}", "restore them from a backup")
    if not all(each.is_complete for each in found):
        seen = f"not everything was looked at within {LOOK_SECONDS:.0f} s{_so_far(found)}"
        yield warning(POINT, seen, "run `flask --app app reencrypt --dry-run`, which looks at everything")
    elif any(each.old for each in found):
        seen = f"not encrypted with the first of PAYLOAD_KEYS: {_counted(found, 'old')}"
        yield warning(POINT, seen, "run `flask --app app reencrypt` before a key is taken away")
    elif not lost and not damaged:
        yield ok(POINT, _well(keys))


def _well(keys: ciphertexts.Keys) -> str:
    if not keys:
        return "nothing is encrypted"
    if len(keys) == 1:
        return f"nothing needs a key but {keys[0].name}"
    others = ", ".join(each.name for each in keys[1:])
    return f"nothing needs a key but {keys[0].name}, the first: {others} may be taken away"


def _so_far(found: list[rotation.Tally]) -> str:
    return f"; so far: {_counted(found, 'old')}" if any(each.old for each in found) else ""


def _counted(found: list[rotation.Tally], which: str) -> str:
    """Such as: 3 payloads of tasks (a1b2c3d4), 1 secrets of webhooks (in the clear)."""
    parts = []
    for tally in found:
        counts: Counter[str] = getattr(tally, which)
        for name, count in sorted(counts.items()):
            said = "in the clear" if name == rotation.CLEAR else name
            parts.append(f"{count} {tally.place} ({said})")
    return ", ".join(parts)
