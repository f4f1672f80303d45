"""What we remember: tables, and the frozen records that leave a transaction."""

from app.models.api_key import ApiKey, ApiKeyRecord, Scope
from app.models.artifact import Artifact, StoredBytes
from app.models.audit import AuditChain, AuditEntry, AuditNote, AuditRecord
from app.models.compensation import Compensation
from app.models.control import Counter, IdempotencyKey, Measurement, Pause
from app.models.event import EventRecord, TaskEvent
from app.models.ids import new_id
from app.models.invoice import Invoice, InvoiceLine, InvoiceSeries, InvoiceTax
from app.models.limit import Admission, Limit, RateBucket, UniqueTask
from app.models.outbox import EventBatch, OutboxEntry, TaskCount
from app.models.refresh_token import LoginFailure, RefreshToken
from app.models.remote_work import WorkClaim, WorkHint
from app.models.repair import (
    REPAIR_ACTIVE,
    Repair,
    RepairItem,
    RepairItemRecord,
    RepairOutcome,
    RepairRecord,
    RepairStatus,
)
from app.models.schedule import Misfire, Overlap, Schedule, ScheduleRecord, ScheduleSlot, SlotRecord, SlotState
from app.models.signal import Signal
from app.models.sink import Sink, TaskStat
from app.models.sql_interface import KnownType, SqlArrival, SqlCount, SqlLimit, SqlRole
from app.models.status import FINISHED, UNCLAIMED, Priority, Receipt, Status
from app.models.task import NOT_PARKED, PARKED, Json, Task, TaskRecord
from app.models.task_child import TaskChild
from app.models.task_log import TaskLogLine
from app.models.task_note import TaskNote
from app.models.task_step import TaskStep
from app.models.trigger import (
    MatchRecord,
    MatchState,
    OutsideEvent,
    OutsideEventRecord,
    Trigger,
    TriggerMatch,
    TriggerRecord,
)
from app.models.user import Role, User, UserRecord
from app.models.webhook import DeliveryRecord, Webhook, WebhookDelivery, WebhookEndpoint, WebhookRecord, WebhookSecret
from app.models.worker import Duty, QueuePosition, Worker
from app.models.workflow import (
    RUN_UNFINISHED,
    CompensationStatus,
    Ending,
    RunRecord,
    RunStatus,
    StepRecord,
    StepState,
    Workflow,
    WorkflowRun,
    WorkflowRunEvent,
    WorkflowStep,
    WorkflowVersion,
    WorkflowWakeUp,
)

__all__ = [
    "FINISHED",
    "NOT_PARKED",
    "PARKED",
    "REPAIR_ACTIVE",
    "RUN_UNFINISHED",
    "UNCLAIMED",
    "Admission",
    "ApiKey",
    "ApiKeyRecord",
    "Artifact",
    "AuditChain",
    "AuditEntry",
    "AuditNote",
    "AuditRecord",
    "Compensation",
    "CompensationStatus",
    "Counter",
    "DeliveryRecord",
    "Duty",
    "Ending",
    "EventBatch",
    "EventRecord",
    "IdempotencyKey",
    "Invoice",
    "InvoiceLine",
    "InvoiceSeries",
    "InvoiceTax",
    "Json",
    "KnownType",
    "Limit",
    "LoginFailure",
    "MatchRecord",
    "MatchState",
    "Measurement",
    "Misfire",
    "OutboxEntry",
    "OutsideEvent",
    "OutsideEventRecord",
    "Overlap",
    "Pause",
    "Priority",
    "QueuePosition",
    "RateBucket",
    "Receipt",
    "RefreshToken",
    "Repair",
    "RepairItem",
    "RepairItemRecord",
    "RepairOutcome",
    "RepairRecord",
    "RepairStatus",
    "Role",
    "RunRecord",
    "RunStatus",
    "Schedule",
    "ScheduleRecord",
    "ScheduleSlot",
    "Scope",
    "Signal",
    "Sink",
    "SlotRecord",
    "SlotState",
    "SqlArrival",
    "SqlCount",
    "SqlLimit",
    "SqlRole",
    "Status",
    "StepRecord",
    "StepState",
    "StoredBytes",
    "Task",
    "TaskChild",
    "TaskCount",
    "TaskEvent",
    "TaskLogLine",
    "TaskNote",
    "TaskRecord",
    "TaskStat",
    "TaskStep",
    "Trigger",
    "TriggerMatch",
    "TriggerRecord",
    "UniqueTask",
    "User",
    "UserRecord",
    "Webhook",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookRecord",
    "WebhookSecret",
    "WorkClaim",
    "WorkHint",
    "Worker",
    "Workflow",
    "WorkflowRun",
    "WorkflowRunEvent",
    "WorkflowStep",
    "WorkflowVersion",
    "WorkflowWakeUp",
    "new_id",
]
