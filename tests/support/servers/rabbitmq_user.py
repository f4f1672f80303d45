"""A user of RabbitMQ that can be refused: its virtual host, permission or password is taken away and given back."""

from uuid import uuid4

from tests.support.servers.rabbitmq import PrivateRabbitMQ


class User:
    """A user of RabbitMQ, with a virtual host, that can lose what it may."""

    def __init__(self, rabbitmq: PrivateRabbitMQ) -> None:
        self._rabbitmq = rabbitmq
        self._name, self._vhost = f"user-{uuid4().hex[:8]}", rabbitmq.take_vhost()
        self.url = rabbitmq.url(self._vhost).replace("guest:guest", f"{self._name}:the-first-password")
        rabbitmq.ctl("add_user", self._name, "the-first-password")
        self._permit()

    def refuse(self, what: str) -> None:
        """Take away its `virtual host`, `permission` or `password`, and close the connections that it has."""
        if what == "virtual host":
            self._rabbitmq.ctl("delete_vhost", self._vhost)
        elif what == "permission":
            self._rabbitmq.ctl("clear_permissions", "-p", self._vhost, self._name)
        else:
            self._rabbitmq.ctl("change_password", self._name, "another-password")
        self._rabbitmq.close_connections()

    def take_back(self, what: str) -> None:
        """Give back what was taken; a virtual host comes back empty."""
        if what == "virtual host":
            self._rabbitmq.ctl("add_vhost", self._vhost)
        if what == "password":
            self._rabbitmq.ctl("change_password", self._name, "the-first-password")
        else:
            self._permit()

    def _permit(self) -> None:
        self._rabbitmq.ctl("set_permissions", "-p", self._vhost, self._name, ".*", ".*", ".*")
