"""A RabbitMQ of the tests' own, from an installed rabbitmq-server: own node, ports, data and virtual hosts."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import amqp

from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port

# Debian's /usr/sbin/rabbitmq-server insists on the account `rabbitmq`; the script it wraps runs as anybody.
PLACES = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/sbin")
VHOSTS_AT_ONCE = 16
CTL_SECONDS = 120


def find_scripts() -> Path | None:
    """The directory with `rabbitmq-server` and `rabbitmqctl`, or None when RabbitMQ is not installed."""
    on_path = shutil.which("rabbitmq-server")
    places = [Path(place) for place in PLACES] + ([Path(on_path).parent] if on_path else [])
    return next((place for place in places if os.access(place / "rabbitmq-server", os.X_OK)), None)


class PrivateRabbitMQ(Process):
    """Knows its address from the beginning; the server runs between `start` and `stop`, and starts again.

    Starting takes some 7 seconds of one core: start it early, and wait late.
    """

    start_seconds = 120.0  # where other work takes the processors, sixty were not enough

    def __init__(self, scripts: Path, *, tls: Path | None = None) -> None:
        """`tls`: a folder with ca.pem, rabbitmq.crt and rabbitmq.key; it listens with TLS only then."""
        self.port = free_port()
        self._tls = tls
        self.password = "guest" if tls is None else uuid4().hex
        self._scripts = scripts
        self._root = Path(tempfile.mkdtemp(prefix="taskledger-rabbitmq-"))
        self._vhosts: list[str] = []
        self._vhosts_made = 0
        super().__init__(
            [scripts / "rabbitmq-server"], name="rabbitmq", environment=self._environment(), directory=self._root
        )
        self._write_configuration()

    def url(self, vhost: str, *, password: str | None = None) -> str:
        scheme = "amqp" if self._tls is None else "amqps"
        return f"{scheme}://guest:{password or self.password}@127.0.0.1:{self.port}/{vhost}"

    def take_vhost(self) -> str:
        """A virtual host that nothing has used yet. They are made in batches: one by one costs half a second each."""
        if not self._vhosts:
            self.ctl("import_definitions", str(self._define_vhosts()))
        return self._vhosts.pop(0)

    def new_url(self) -> str:
        """A virtual host that nothing has used yet."""
        return self.url(self.take_vhost())

    def is_ready(self) -> bool:
        address = f"127.0.0.1:{self.port}"
        newest = f"t{self._vhosts_made}"
        options = {"ssl": {"ca_certs": str(self._tls / "ca.pem")} if self._tls else False, "password": self.password}
        try:
            with amqp.Connection(address, virtual_host=newest, connect_timeout=1, read_timeout=2, **options):
                return True
        except (OSError, amqp.AMQPError):
            return False

    def restart(self) -> None:
        """Stop it as an operator would, and wait until it takes connections again."""
        self.stop()
        self.start().wait_until_ready()

    @contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """While inside, the server takes no message: it stops reading from whoever publishes."""
        self.ctl("set_vm_memory_high_watermark", "absolute", "1")
        try:
            yield
        finally:
            self.ctl("set_vm_memory_high_watermark", "0.4")

    def close_connections(self, reason: str = "closed by a test") -> None:
        """Close every client's connection, as a failover of a load balancer would."""
        self.ctl("close_all_connections", "--global", reason)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node; return what it printed."""
        done = subprocess.run(
            [self._scripts / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment(),
            cwd=self._root,
            capture_output=True,
            text=True,
            timeout=CTL_SECONDS,
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments[0]} failed: {done.stderr}{done.stdout}"
        return done.stdout

    def import_definitions(self, text: str) -> None:
        """What an operator imports, from a file that the server can read."""
        path = self._root / f"imported-{uuid4().hex[:8]}.json"
        path.write_text(text)
        path.chmod(0o644)
        self.ctl("import_definitions", str(path))

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._root, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._root),  # the cookie that lets rabbitmqctl in
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"taskledger{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self.port - 10_000),
            "RABBITMQ_CONF_ENV_FILE": str(self._root / "none.conf"),  # the machine's own names its node and its files
            "RABBITMQ_CONFIG_FILE": str(self._root / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._root / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._root / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._root / "data"),
            "RABBITMQ_LOG_BASE": str(self._root / "log"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # As under systemd the script turns into the server instead of watching over it: our pid is the server's.
            "NOTIFY_SOCKET": str(self._root / "nobody-listens"),
        }

    def _write_configuration(self) -> None:
        definitions = self._define_vhosts()
        (self._root / "plugins").write_text("[].\n")
        (self._root / "rabbitmq.conf").write_text(
            f"{self._listener()}load_definitions = {definitions}\ndisk_free_limit.absolute = 1MB\n"
        )

    def _listener(self) -> str:
        if self._tls is None:
            return f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
        return (
            f"listeners.tcp = none\nlisteners.ssl.local = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.unnamed = 127.0.0.2:{self.port}\n"  # not in the certificate
            f"ssl_options.cacertfile = {self._tls}/ca.pem\nssl_options.certfile = {self._tls}/rabbitmq.crt\n"
            f"ssl_options.keyfile = {self._tls}/rabbitmq.key\nssl_options.verify = verify_none\n"
        )

    def _define_vhosts(self) -> Path:
        """Write a definitions file with the next batch of virtual hosts, and put them into the pool."""
        first = self._vhosts_made + 1
        self._vhosts_made += VHOSTS_AT_ONCE
        names = [f"t{number}" for number in range(first, self._vhosts_made + 1)]
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        definitions = {
            "users": [{"name": "guest", "password": self.password, "tags": "administrator"}],
            "vhosts": [{"name": name} for name in names],
            "permissions": [{"user": "guest", "vhost": name, **everything} for name in names],
        }
        path = self._root / f"vhosts-{first}.json"
        path.write_text(json.dumps(definitions))
        self._vhosts += names
        return path
