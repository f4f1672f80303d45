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


def _told(found: Obstacle) -> dict[str, Any]:
    limit = found.limit
    told: dict[str, Any] = {"holders": [str(each) for each in found.holders]}
    if found.others:
        told["holders_of_other_accounts"] = found.others
    if limit is not None:
        rate = limit.rate and {"count": limit.rate.count, "seconds": limit.rate.seconds, "burst": limit.rate.burst}
        told["limit"] = {"kind": limit.kind, "name": limit.name, "max_running": limit.max_running, "rate": rate,
                         "max_hints": limit.max_hints, "shared": limit.shared, "reason": limit.reason}  # fmt: skip
    return told


def _named(found: Obstacle) -> str:
    limit = found.limit
    if limit is not None and limit.kind in deliveries.KINDS:
        return f"the built-in limit of {limit.max_running} {BUILT_IN[limit.kind]}"
    return "a limit" if limit is None else f"the limit of {limit.kind} {limit.name}"


def _by_others(found: Obstacle) -> str:
    if not found.others:
        return ""
    count = "a task" if found.others == 1 else f"{found.others} tasks"
    return f", {'by' if not found.holders else 'also by'} {count} of another account"


def circuit_open(found: Obstacle | None, status: str) -> Answer | None:
    """The receiver of a delivery has failed so often that it is left alone for a while."""
    if found is None or found.circuit is None or status != Status.PENDING:
        return None
    circuit = found.circuit
    told = {name: getattr(circuit, name) for name in ("state", "failures", "reason", "origin")}
    return Answer(
        cause="",
        summary=f"It is held: the circuit of its receiver is open until {moment(circuit.retry_at)}, because "
        f"{circuit.failures} attempts in a row failed ({circuit.reason}). Then one delivery tries.",
        evidence={
            "circuit": {
                **told,
                "since": moment(circuit.since),
                "retry_at": moment(circuit.retry_at),
                "webhook": circuit.webhook_id and str(circuit.webhook_id),
            }
        },
        next_at=circuit.retry_at,
        fix="Nothing is lost: it waits, and the first delivery that is accepted closes the circuit. To try at once: "
        "POST /api/v1/webhooks/{id}/test.",
    )


def limit_reached(found: Obstacle | None, status: str) -> Answer | None:
    """All places of a limit are taken."""
    if found is None or found.cause != "limit" or status != Status.PENDING:
        return None
    return Answer(
        cause="",
        summary=f"It is held: all places under {_named(found)} are taken{_by_others(found)}.",
        evidence=_told(found),
        fix="Nothing: it goes when one of the holders ends, in turn with others. An admin may raise the limit: PUT "
        "/api/v1/limits.",
    )


def rate_reached(found: Obstacle | None, status: str) -> Answer | None:
    """A rate is spent for now."""
    if found is None or found.cause != "rate" or status != Status.PENDING:
        return None
    return Answer(
        cause="",
        summary=f"It is held: the rate under {_named(found)} is spent until {moment(found.frees_at)}.",
        evidence=_told(found),
        next_at=found.frees_at,
        fix="Nothing: it goes at that rate, in turn with others. An admin may raise it: PUT /api/v1/limits.",
    )


def blocked_by_order(found: Obstacle | None, status: str) -> Answer | None:
    """One before it with the same ordering key has not ended, or has failed."""
    if found is None or found.cause not in ("order", "blocked") or status != Status.PENDING:
        return None
    has_failed = found.cause == "blocked"
    return Answer(
        cause="",
        summary="It is held: a task before it with the same ordering_key "
        + ("has failed, and blocks those behind it." if has_failed else "has not ended."),
        evidence=_told(found) | {"ahead": found.ahead},
        fix="Replay or delete the failed one: POST /api/v1/tasks/{id}/retry." if has_failed
        else "Nothing: they run one at a time, in the order of their submission.",
    )  # fmt: skip


def waiting_for_its_turn(found: Obstacle | None, status: str) -> Answer | None:
    """Nothing forbids it; others go first."""
    if found is None or found.cause != "turn" or status != Status.PENDING:
        return None
    return Answer(
        cause="",
        summary=f"It is held for its turn: {found.ahead:,} tasks of the same owner and type are before it.",
        evidence=_told(found) | {"ahead": found.ahead},
        fix="Nothing: owners take turns, and the dispatcher admits the next ones at once.",
    )
