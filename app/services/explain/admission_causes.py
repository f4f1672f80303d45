"""Causes of tasks that are held: a limit, a rate, their order, or the turns of others. Pure."""

from typing import Any

from app.models import Status
from app.services.admission import Obstacle, deliveries
from app.services.explain.answers import Answer, moment

BUILT_IN = {
    deliveries.RECEIVER: "at once for its receiver",
    deliveries.ALL: "deliveries at once, as many as the workers have slots for",
    deliveries.FAILING: "deliveries at once to receivers whose last attempt failed",
}


def _told(obstacle: Obstacle) -> dict[str, Any]:
    limit = obstacle.limit
    evidence: dict[str, Any] = {"holders": [str(each) for each in obstacle.holders]}
    if obstacle.others:
        evidence["holders_of_other_accounts"] = obstacle.others
    if limit is not None:
        rate = limit.rate and {"count": limit.rate.count, "seconds": limit.rate.seconds, "burst": limit.rate.burst}
        evidence["limit"] = {"kind": limit.kind, "name": limit.name, "max_running": limit.max_running, "rate": rate,
                         "max_hints": limit.max_hints, "shared": limit.shared, "reason": limit.reason}  # fmt: skip
    return evidence


def _named(obstacle: Obstacle) -> str:
    limit = obstacle.limit
    if limit is not None and limit.kind in deliveries.KINDS:
        return f"the built-in limit of {limit.max_running} {BUILT_IN[limit.kind]}"
    return "a limit" if limit is None else f"the limit of {limit.kind} {limit.name}"


def _by_others(obstacle: Obstacle) -> str:
    if not obstacle.others:
        return ""
    count = "a task" if obstacle.others == 1 else f"{obstacle.others} tasks"
    return f", {'by' if not obstacle.holders else 'also by'} {count} of another account"


def circuit_open(obstacle: Obstacle | None, status: str) -> Answer | None:
    """The receiver of a delivery has failed so often that it is left alone for a while."""
    if obstacle is None or obstacle.circuit is None or status != Status.PENDING:
        return None
    circuit = obstacle.circuit
    evidence = {name: getattr(circuit, name) for name in ("state", "failures", "reason", "origin")}
    return Answer(
        cause="",
        summary=f"It is held: the circuit of its receiver is open until {moment(circuit.retry_at)}, because "
        f"{circuit.failures} attempts in a row failed ({circuit.reason}). Then one delivery tries.",
        evidence={
            "circuit": {
                **evidence,
                "since": moment(circuit.since),
                "retry_at": moment(circuit.retry_at),
                "webhook": circuit.webhook_id and str(circuit.webhook_id),
            }
        },
        next_at=circuit.retry_at,
        fix="Nothing is lost: it waits, and the first delivery that is accepted closes the circuit. To try at once: "
        "POST /api/v1/webhooks/{id}/test.",
    )


def limit_reached(obstacle: Obstacle | None, status: str) -> Answer | None:
    """All places of a limit are taken."""
    if obstacle is None or obstacle.cause != "limit" or status != Status.PENDING:
        return None
    return Answer(
        cause="",
        summary=f"It is held: all places under {_named(obstacle)} are taken{_by_others(obstacle)}.",
        evidence=_told(obstacle),
        fix="Nothing: it goes when one of the holders ends, in turn with others. An admin may raise the limit: PUT "
        "/api/v1/limits.",
    )


def rate_reached(obstacle: Obstacle | None, status: str) -> Answer | None:
    """A rate is spent for now."""
    if obstacle is None or obstacle.cause != "rate" or status != Status.PENDING:
        return None
    return Answer(
        cause="",
        summary=f"It is held: the rate under {_named(obstacle)} is spent until {moment(obstacle.frees_at)}.",
        evidence=_told(obstacle),
        next_at=obstacle.frees_at,
        fix="Nothing: it goes at that rate, in turn with others. An admin may raise it: PUT /api/v1/limits.",
    )


def blocked_by_order(obstacle: Obstacle | None, status: str) -> Answer | None:
    """One before it with the same ordering key has not ended, or has failed."""
    if obstacle is None or obstacle.cause not in ("order", "blocked") or status != Status.PENDING:
        return None
    has_failed = obstacle.cause == "blocked"
    return Answer(
        cause="",
        summary="It is held: a task before it with the same ordering_key "
        + ("has failed, and blocks those behind it." if has_failed else "has not ended."),
        evidence=_told(obstacle) | {"ahead": obstacle.ahead},
        fix="Replay or delete the failed one: POST /api/v1/tasks/{id}/retry." if has_failed
        else "Nothing: they run one at a time, in the order of their submission.",
    )  # fmt: skip


def waiting_for_its_turn(obstacle: Obstacle | None, status: str) -> Answer | None:
    """Nothing forbids it; others go first."""
    if obstacle is None or obstacle.cause != "turn" or status != Status.PENDING:
        return None
    return Answer(
        cause="",
        summary=f"It is held for its turn: {obstacle.ahead:,} tasks of the same owner and type are before it.",
        evidence=_told(obstacle) | {"ahead": obstacle.ahead},
        fix="Nothing: owners take turns, and the dispatcher admits the next ones at once.",
    )
