"""What we remember: tables, and the frozen records that leave a transaction."""

from app.models.api_key import ApiKey, ApiKeyRecord, Scope
from app.models.artifact import Artifact
from app.models.audit import AuditEntry, AuditRecord
from app.models.compensation import Compensation
from app.models.control import Counter, IdempotencyKey, Pause
from app.models.event import EventRecord, TaskEvent
from app.models.ids import new_id
from app.models.invoice import Invoice, InvoiceLine, InvoiceSeries, InvoiceTax
from app.models.limit import Admission, Limit, RateBucket, UniqueTask
from app.models.refresh_token import LoginFailure, RefreshToken
from app.models.schedule import Misfire, Overlap, Schedule, ScheduleRecord, ScheduleSlot, SlotRecord, SlotState
from app.models.status import FINISHED, WAITING, Priority, Receipt, Status
from app.models.task import Json, Task, TaskRecord
from app.models.task_log import TaskLogLine
from app.models.user import Role, User, UserRecord
from app.models.worker import Duty, QueuePosition, Worker

__all__ = [
    "FINISHED",
    "WAITING",
    "Admission",
    "ApiKey",
    "ApiKeyRecord",
    "Artifact",
    "AuditEntry",
    "AuditRecord",
    "Compensation",
    "Counter",
    "Duty",
    "EventRecord",
    "IdempotencyKey",
    "Invoice",
    "InvoiceLine",
    "InvoiceSeries",
    "InvoiceTax",
    "Json",
    "Limit",
    "LoginFailure",
    "Misfire",
    "Overlap",
    "Pause",
    "Priority",
    "QueuePosition",
    "RateBucket",
    "Receipt",
    "RefreshToken",
    "Role",
    "Schedule",
    "ScheduleRecord",
    "ScheduleSlot",
    "Scope",
    "SlotRecord",
    "SlotState",
    "Status",
    "Task",
    "TaskEvent",
    "TaskLogLine",
    "TaskRecord",
    "UniqueTask",
    "User",
    "UserRecord",
    "Worker",
    "new_id",
]
