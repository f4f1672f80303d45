"""All settings of the service, frozen."""

from dataclasses import dataclass, fields

from app.config.accounts import Accounts
from app.config.audit_sink import AuditSink
from app.config.connections import Connections
from app.config.observing import Observing
from app.config.outputs import Outputs
from app.config.production import DEVELOPMENT_SECRET
from app.config.running import Running
from app.config.serving import Serving
from app.config.task_packages import TaskPackages
from tasks.brokers import Broker, broker_of


@dataclass(frozen=True, kw_only=True)
class Settings(Connections, Serving, Accounts, TaskPackages, Running, Observing, Outputs, AuditSink):
    """What can be set; the variable is the field's name in upper case (docs/reference/settings.md)."""

    @property
    def broker(self) -> Broker:
        """What kind of broker it is, and how it is set up. Raises nothing: the URL was checked."""
        return broker_of(
            self.broker_url,
            queue_type=self.queue_type,
            longest_delivery_seconds=self.longest_delivery_seconds,
        )

    @property
    def secrets(self) -> frozenset[str]:
        """The values of all secret settings that are set."""
        held = (getattr(self, setting.name) for setting in fields(self) if not setting.repr)
        return frozenset(value for value in held if value and value != DEVELOPMENT_SECRET)
