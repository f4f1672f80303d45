"""A broker that refuses us: its virtual host, permission or password changed. Each process says so in a few lines."""

import time
from uuid import uuid4

import pytest

from tests.support.servers.programs import Sink
from tests.support.servers.rabbitmq_user import User
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]  # four processes start, and are watched for a while

WATCHED_SECONDS = 12
MAX_LINES = 12  # it was some 25 a second; each has its own words for the loss, the refusal and what is left undone
SAID = {"virtual host": "NOT_ALLOWED", "permission": "NOT_ALLOWED", "password": "ACCESS_REFUSED"}


@pytest.mark.parametrize("what", SAID)
def test_a_refusal_is_said_in_a_few_lines_without_tracebacks(what, databases, rabbitmq):
    user, database_url = User(rabbitmq), databases.create(f"refused_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=user.url) as stack, Sink(stack.environment, "stats") as sink:
        sink.wait_until_ready()
        stack.wait_until("COMPLETED", [stack.submit("reverse_string", "before")])
        processes = {"api": stack.api, "worker": stack.worker, "dispatcher": stack.dispatcher, "sink": sink}
        before = {name: len(process.log) for name, process in processes.items()}

        user.refuse(what)
        waiting = [_submitted_after_a_second(stack) for _ in range(WATCHED_SECONDS)]

        for name, process in processes.items():
            said = process.log[before[name] :]
            assert SAID[what] in said, f"{name} does not say what is wrong: {said}"
            assert "Traceback" not in said, name
            assert len(said.splitlines()) <= MAX_LINES, f"{name}: {said}"
        user.take_back(what)
        stack.wait_until("COMPLETED", waiting, timeout=60)
    databases.drop(database_url)


def _submitted_after_a_second(stack: Stack) -> str:
    time.sleep(1)
    return stack.submit("reverse_string", "meanwhile")
