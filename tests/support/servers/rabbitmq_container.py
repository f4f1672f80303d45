"""RabbitMQ 4 of the tests' own, from the image that the compose file names; Debian 12 has 3.10."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import yaml

from tests.support.servers.databases import ROOT
from tests.support.servers.rabbitmq import CTL_SECONDS, PrivateRabbitMQ

DOCKER_SECONDS = 120
STOP_SECONDS = 30
PLACES_OF_DOCKER = f"{os.environ.get('PATH', '')}:/opt/docker/bin"
# What RabbitMQ 4 still permits and a later one will not: nothing of ours may use it. A server that refuses it does not
# always start again after it was killed: 4.0.5 may ask for the queues before it has read its tables.
DEPRECATED = ("amqp_address_v1", "global_qos", "queue_master_locator", "ram_node_type", "transient_nonexcl_queues")


def find_docker() -> str | None:
    """The client, when its engine answers and has the image; nothing is pulled for a test."""
    docker = shutil.which("docker", path=PLACES_OF_DOCKER)
    if docker is None:
        return None
    done = subprocess.run([docker, "image", "inspect", image()], capture_output=True, timeout=DOCKER_SECONDS)
    return docker if done.returncode == 0 else None


def image() -> str:
    """The image of RabbitMQ that the compose file names, or its variable."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    variable, default = re.fullmatch(r"\$\{(\w+):-(.+)\}", services["rabbitmq"]["image"]).groups()
    return os.environ.get(variable) or default


class RabbitMQContainer(PrivateRabbitMQ):
    """As the installed one. The process that is watched is a client that follows the container and ends with it."""

    start_seconds = 180.0

    def __init__(self, docker: str, *, refuses_deprecated: bool = False) -> None:
        self._docker = docker
        self._refused = DEPRECATED if refuses_deprecated else ()
        self._container = f"taskledger-tests-rabbitmq-{uuid4().hex[:12]}"
        super().__init__(Path("/nowhere"))
        self.command = [docker, "start", "--attach", self._container]
        for path in (self._root, *self._root.iterdir()):
            path.chmod(0o755)  # the server in the container is another user
        self._run(
            *("create", "--name", self._container, "--publish", f"127.0.0.1:{self.port}:5672"),
            *("--volume", f"{self._root}:{self._root}:ro"),
            *("--env", f"RABBITMQ_CONFIG_FILE={self._root}/rabbitmq.conf"),
            *("--env", f"RABBITMQ_ENABLED_PLUGINS_FILE={self._root}/plugins"),
            *("--env", "RABBITMQ_NODENAME=taskledger@localhost", image()),
        )

    def stop(self, *, timeout: float = STOP_SECONDS) -> int:
        self._run("stop", "--time", str(int(timeout)), self._container)
        return self.wait(timeout=timeout)

    def kill(self) -> None:
        self._run("kill", self._container)
        self.wait()

    def pause(self) -> None:
        self._run("pause", self._container)

    def resume(self) -> None:
        self._run("unpause", self._container)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl in the container; return what it printed."""
        # As root it would make a cookie of root's own when the server has none yet.
        command = ["exec", "--user", "rabbitmq", self._container, "rabbitmqctl", "--quiet", *arguments]
        return self._run(*command, seconds=CTL_SECONDS)

    def end(self) -> None:
        self._run("rm", "--force", "--volumes", self._container)
        super().end()

    def _run(self, *arguments: str, seconds: float = DOCKER_SECONDS) -> str:
        done = subprocess.run([self._docker, *arguments], capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, f"docker {arguments[0]} failed: {done.stderr}{done.stdout}"
        return done.stdout

    def _listener(self) -> str:
        refused = "".join(f"deprecated_features.permit.{name} = false\n" for name in self._refused)
        return f"listeners.tcp.default = 5672\nloopback_users.guest = false\n{refused}"

    def _define_vhosts(self) -> Path:
        path = super()._define_vhosts()
        path.chmod(0o755)
        return path
