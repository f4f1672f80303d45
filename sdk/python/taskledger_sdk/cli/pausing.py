"""Pausing and resuming queues and task types."""

from taskledger_sdk.cli import text
from taskledger_sdk.cli.session import Session
from taskledger_sdk.http.addresses import path_of


def pause_one(session: Session, kind: str, name: str, reason: str | None) -> None:
    """Pause one of `queues` or `task-types`, and tell."""
    paused = session.api.post(path_of(kind, name, "pause"), {"reason": reason} if reason else None)
    if session.out.as_json:
        session.out.document(paused)
    else:
        session.out.text(f"{name} is paused since {text.moment(paused['paused_at'])}")


def resume_one(session: Session, kind: str, name: str) -> None:
    """Resume one of them, and tell."""
    answer = session.api.post(path_of(kind, name, "resume"))
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.text(f"{name} goes on" if answer["resumed"] else f"{name} was not paused")
