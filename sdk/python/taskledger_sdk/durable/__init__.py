"""Durable handlers: functions that are run again from their top after each wait, and whose steps are remembered."""

from taskledger_sdk.durable.context import AsyncCall, AsyncDurableTask, Call, DurableTask
from taskledger_sdk.durable.values import Child, child

__all__ = ["AsyncCall", "AsyncDurableTask", "Call", "Child", "DurableTask", "child"]
