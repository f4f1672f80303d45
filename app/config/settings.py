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


@dataclass(frozen=True, kw_only=True)
class Settings(Connections, Serving, Accounts, TaskPackages, Running, Observing, Outputs, AuditSink):
    """What can be set; the variable is the field's name in upper case (docs/reference/settings.md)."""

    @property
    def secrets(self) -> frozenset[str]:
        """The values of all secret settings that are set."""
        held = (getattr(self, setting.name) for setting in fields(self) if not setting.repr)
        return frozenset(value for value in held if value and value != DEVELOPMENT_SECRET)
