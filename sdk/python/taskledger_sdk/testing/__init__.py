"""Unit tests of task types without any service: an attempt that remembers, and a worker that runs it at once.

from taskledger_sdk import testing

def test_words_are_counted():
    task = testing.Attempt()

    outcome = testing.run(count_words, {"text": "to be or not to be", "top": 1}, task)

    assert outcome == testing.Completed({"to": 2})
    assert task.reported[-1].fraction == 0.5
"""

from taskledger_sdk.testing.artifacts import MemoryArtifacts
from taskledger_sdk.testing.attempt import TASK_ID, Attempt, Line, Report
from taskledger_sdk.testing.durable import DurableAttempt
from taskledger_sdk.testing.outcomes import (
    Cancelled,
    Completed,
    Failed,
    GivenBack,
    Outcome,
    Retrying,
    StartedOver,
    Waiting,
)
from taskledger_sdk.testing.running import run, run_until_done
from taskledger_sdk.testing.submissions import Submission
from taskledger_sdk.testing.upgrading import schema_hash, upgraded

__all__ = [
    "TASK_ID",
    "Attempt",
    "Cancelled",
    "Completed",
    "DurableAttempt",
    "Failed",
    "GivenBack",
    "Line",
    "MemoryArtifacts",
    "Outcome",
    "Report",
    "Retrying",
    "StartedOver",
    "Submission",
    "Waiting",
    "run",
    "run_until_done",
    "schema_hash",
    "upgraded",
]
