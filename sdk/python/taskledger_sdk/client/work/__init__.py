"""Working off tasks of remote types: claims, heartbeats and outcomes, for threads and for coroutines."""

from taskledger_sdk.client.work.attempt import WorkTask

__all__ = ["WorkTask"]
