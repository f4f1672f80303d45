"""Changes of many things at once: first a dry run that counts, then, with the token that it gives, the change."""

from collections.abc import Mapping
from typing import Any

from taskledger_sdk.cli.session import Session


def change(
    session: Session, path: str, chosen: Mapping[str, Any], *, question: str, done: str, dry_run: bool, yes: bool
) -> None:
    """Count, ask, change, and tell. `question` and `done` have {count} in them; a dry run ends after the count.

    With --json: the API's answer to the last of both requests.
    """
    counted = session.api.post(path, {"filter": dict(chosen), "dry_run": True})
    if dry_run or not counted["count"]:
        _tell(session, counted, f"That match: {counted['count']}")
        return
    session.confirm(question.format(count=counted["count"]), yes=yes)
    changed = session.api.post(path, {"token": counted["token"]})
    _tell(session, changed, done.format(count=changed["count"]))


def _tell(session: Session, answer: Mapping[str, Any], text: str) -> None:
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.text(text)
