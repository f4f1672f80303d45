"""call_back: fetches a URL, so that a test sees with which headers handlers call others; writes a log line before."""

from dataclasses import dataclass

from taskledger_sdk import TaskContext, task_type
from tasks.outbound import Outbound


@dataclass(frozen=True, kw_only=True)
class CallBack:
    url: str


@task_type("call_back", settings=("OUTBOUND_ALLOW",))
def call_back(task: TaskContext, payload: CallBack) -> int:
    """Return the status of the answer."""
    task.log("about to call")
    return Outbound(allow=task.settings.get("OUTBOUND_ALLOW", "")).send("GET", payload.url).status
