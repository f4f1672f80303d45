"""What an answer of JetStream that is an error means to kombu, and says to people."""

import nats.js.errors
import pytest

from tasks.transports.nats.errors import NatsUnavailable, QueueRefused, refusal


def _refusal(status: int, code: int, said: str) -> Exception:
    return refusal({"code": status, "err_code": code, "description": said}, "nats:4222")


@pytest.mark.parametrize("code", [10002, 10023, 10028, 10047])
def test_no_room_is_a_refusal_that_says_what_to_do(code):
    error = _refusal(503 if code == 10023 else 400, code, "insufficient resources")

    assert isinstance(error, QueueRefused)
    assert str(error) == (
        "NATS at nats:4222 has no room (insufficient resources): raise the limits of its JetStream, "
        "or delete streams nobody needs"
    )


@pytest.mark.parametrize("code", [10035, 10039, 10076])
def test_no_jetstream_is_a_broker_that_is_away(code):
    error = _refusal(503, code, "JetStream not enabled")

    assert isinstance(error, NatsUnavailable)
    assert "has no JetStream for this account" in str(error)


def test_a_jetstream_without_a_leader_is_away_for_now():
    error = _refusal(503, 10008, "JetStream system temporarily unavailable")

    assert isinstance(error, NatsUnavailable)
    assert "temporarily unavailable" in str(error)


def test_what_is_not_there_can_be_told_from_what_is_refused():
    assert isinstance(_refusal(404, 10059, "stream not found"), nats.js.errors.NotFoundError)
    assert isinstance(_refusal(400, 10058, "stream name already in use"), QueueRefused)
