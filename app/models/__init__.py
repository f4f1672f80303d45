"""What we remember: tables, and the frozen records that leave a transaction."""

from app.models.control import Counter, IdempotencyKey, Pause
from app.models.event import EventRecord, TaskEvent
from app.models.ids import new_id
from app.models.schedule import Misfire, Overlap, Schedule, ScheduleRecord, ScheduleSlot, SlotRecord, SlotState
from app.models.status import FINISHED, WAITING, Priority, Receipt, Status
from app.models.task import Json, Task, TaskRecord
from app.models.task_log import TaskLogLine
from app.models.worker import Duty, QueuePosition, Worker

__all__ = [
    "FINISHED",
    "WAITING",
    "Counter",
    "Duty",
    "EventRecord",
    "IdempotencyKey",
    "Json",
    "Misfire",
    "Overlap",
    "Pause",
    "Priority",
    "QueuePosition",
    "Receipt",
    "Schedule",
    "ScheduleRecord",
    "ScheduleSlot",
    "SlotRecord",
    "SlotState",
    "Status",
    "Task",
    "TaskEvent",
    "TaskLogLine",
    "TaskRecord",
    "Worker",
    "new_id",
]
