"""A broker that refuses us: its virtual host, permission or password changed. Each process says so in a few lines."""

import time
from uuid import uuid4

import pytest

from tests.support.servers.programs import Sink
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]  # four processes start, and are watched for a while

WATCHED_SECONDS = 12
MAX_LINES = 12  # it was some 25 a second; each has its own words for the loss, the refusal and what is left undone
SAID = {"virtual host": "NOT_ALLOWED", "permission": "NOT_ALLOWED", "password": "ACCESS_REFUSED"}


class User:
    """A user of RabbitMQ, with a virtual host, that can lose what it may."""

    def __init__(self, rabbitmq) -> None:
        self._rabbitmq = rabbitmq
        self._name, self._vhost = f"user-{uuid4().hex[:8]}", rabbitmq.take_vhost()
        self.url = rabbitmq.url(self._vhost).replace("guest:guest", f"{self._name}:the-first-password")
        rabbitmq.ctl("add_user", self._name, "the-first-password")
        self._permit()

    def refuse(self, what: str) -> None:
        if what == "virtual host":
            self._rabbitmq.ctl("delete_vhost", self._vhost)
        elif what == "permission":
            self._rabbitmq.ctl("clear_permissions", "-p", self._vhost, self._name)
        else:
            self._rabbitmq.ctl("change_password", self._name, "another-password")
        self._rabbitmq.close_connections()

    def take_back(self, what: str) -> None:
        if what == "virtual host":
            self._rabbitmq.ctl("add_vhost", self._vhost)
        if what == "password":
            self._rabbitmq.ctl("change_password", self._name, "the-first-password")
        else:
            self._permit()

    def _permit(self) -> None:
        self._rabbitmq.ctl("set_permissions", "-p", self._vhost, self._name, ".*", ".*", ".*")


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
