"""What goes wrong with NATS, as kombu and Celery expect it: the broker is away, or it refuses one thing."""

from collections.abc import Mapping
from typing import Any

import nats.errors
import nats.js.errors
from kombu.exceptions import ChannelError


class NatsUnavailable(ConnectionError):
    """The broker is away, or does not let us in; the connection has to be made anew."""


class QueueRefused(ChannelError):
    """NATS refuses a queue or a message; the connection is as good as before."""


NO_ROOM = frozenset({10002, 10023, 10028, 10047})
"""JetStream's codes for a limit that is reached: of the account, the server, its memory, its files."""
NO_JETSTREAM = frozenset({10035, 10039, 10076})


def explain(error: BaseException, where: str) -> str:
    """One line for an operator: what is wrong at `where` (host and port, no password), and what to do."""
    text = str(error).removeprefix("nats: ").strip() or type(error).__name__
    if isinstance(error, nats.errors.AuthorizationError) or "authorization" in text.lower():
        return f"NATS at {where} refused the credentials in BROKER_URL"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
        return f"NATS at {where} refused the connection: nothing listens there"
    if isinstance(error, TimeoutError):
        return f"NATS at {where} did not answer in time"
    if "empty response from server when expecting INFO" in text:
        return f"what listens at {where} is no NATS server"
    return f"NATS at {where}: {text}"


def no_jetstream(where: str) -> NatsUnavailable:
    """The server is there, and cannot keep messages."""
    return NatsUnavailable(f"NATS at {where} has no JetStream for this account: start nats-server with --jetstream")


def refusal(fault: Mapping[str, Any], where: str) -> Exception:
    """What an answer of JetStream's API that holds an error means.

    nats.js.errors.NotFoundError for what is not there, QueueRefused for what it does not do or has no room for, and
    NatsUnavailable for a JetStream that is not there, or not yet.
    """
    status, code, said = fault.get("code"), fault.get("err_code"), fault.get("description")
    if status == 404:
        return nats.js.errors.NotFoundError(code=status, err_code=code, description=said)
    if code in NO_ROOM:
        return QueueRefused(
            f"NATS at {where} has no room ({said}): raise the limits of its JetStream, or delete streams nobody needs"
        )
    if code in NO_JETSTREAM:
        return no_jetstream(where)
    if status == 503:
        return NatsUnavailable(f"NATS at {where} cannot serve its JetStream now: {said}")
    return QueueRefused(f"NATS at {where} refuses it: {said}")
