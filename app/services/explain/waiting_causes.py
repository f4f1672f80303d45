"""Causes of tasks that are WAITING: for a signal, for their children, or for a moment. Pure."""

from typing import Any

from app.services.explain.answers import Answer, moment, span
from app.services.explain.evidence import Evidence, NamedRules, answer
from app.services.tasks.waits import Wait


def _told(wait: Wait) -> dict[str, Any]:
    """What every answer of a waiting task is concluded from."""
    return {
        "waits_for": {"kind": wait.kind, "name": wait.name, "step": wait.step},
        "since": moment(wait.since),
        "until": moment(wait.until),
        **({"never_asked_for": list(wait.never_asked_for)} if wait.never_asked_for else {}),
    }


def _aside(wait: Wait) -> str:
    """Remembered steps that the handler, as it is now, did not come to: it may have been changed since."""
    if not wait.never_asked_for:
        return ""
    return f" Its handler did not ask again for what it remembers as {', '.join(wait.never_asked_for)}."


def _for_long(evidence: Evidence, wait: Wait) -> str:
    until = "" if wait.until is None else f", until {moment(wait.until)}"
    return f" since {moment(wait.since)} ({span(evidence.now - wait.since)}){until}"


def _cancelling(evidence: Evidence) -> Answer | None:
    task, wait = evidence.task, evidence.wait
    if wait is None or task.cancel_requested_at is None:
        return None
    return answer(
        f"It was cancelled at {moment(task.cancel_requested_at)}, and waits for {_children(evidence)} to end.",
        evidence={**_told(wait), **_family(evidence), "cancel_requested_at": moment(task.cancel_requested_at)},
        fix="Nothing: they were cancelled, too; one that runs is stopped at its next safe place.",
    )


def _children(evidence: Evidence) -> str:
    number = evidence.unended_children
    return "one of its children" if number == 1 else f"{number:,} of its children"


def _family(evidence: Evidence) -> dict[str, Any]:
    return {
        "unended_children": evidence.unended_children,
        "children": [str(each) for each in evidence.children],
    }


def _receiver(evidence: Evidence, wait: Wait) -> str:
    return f"tasks/{evidence.task.id}" if wait.target is None else f"runs/{wait.target}"


def _for_signal(evidence: Evidence) -> Answer | None:
    wait = evidence.wait
    if wait is None or wait.kind != "signal":
        return None
    others = {each.name: each.signals for each in evidence.untaken if each.name != wait.name}
    hint = f" Nobody waits for what was sent as {', '.join(others)}." if others else ""
    return answer(
        f"It waits for the signal {wait.name}{_for_long(evidence, wait)}.{hint}{_aside(wait)}",
        evidence={**_told(wait), "untaken_signals": others, **({"schema": wait.schema} if wait.schema else {})},
        next_at=wait.until,
        fix=f'Send it: POST /api/v1/{_receiver(evidence, wait)}/signals/{wait.name} {{"data": …}}, or on its page.',
    )


def _for_children(evidence: Evidence) -> Answer | None:
    wait = evidence.wait
    if wait is None or wait.kind != "children":
        return None
    first = evidence.children[0] if evidence.children else None
    fix = f"See what keeps that child: GET /api/v1/tasks/{first}/why." if first else "Nothing: it goes on."
    return answer(
        f"It waits for {_children(evidence)} to end{_for_long(evidence, wait)}.{_aside(wait)}",
        evidence={**_told(wait), **_family(evidence)},
        next_at=wait.until,
        fix=fix,
    )


def _sleeping(evidence: Evidence) -> Answer | None:
    wait = evidence.wait
    if wait is None or wait.kind != "moment":
        return None
    return answer(
        f"It sleeps as its handler asked{_for_long(evidence, wait)}.{_aside(wait)}",
        evidence=_told(wait),
        next_at=wait.until,
    )


def _unknown(evidence: Evidence) -> Answer | None:
    if evidence.wait is not None:
        return None
    return answer(
        "It waits, and its row does not say for what.",
        evidence={"due_at": moment(evidence.task.due_at)},
        next_at=evidence.task.due_at,
        fix=f"Cancel and replay it: POST /api/v1/tasks/{evidence.task.id}/cancel.",
    )


SUSPENDED: NamedRules = (
    ("cancelling", _cancelling),
    ("waiting_for_signal", _for_signal),
    ("waiting_for_children", _for_children),
    ("sleeping", _sleeping),
    ("waiting", _unknown),
)
