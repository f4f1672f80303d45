"""The audit sink: sends the audit log to a receiver outside, in order, at least once, from a position in the ledger."""

from app.sinks.audit.receivers import Failed, Receiver, receiver_of
from app.sinks.audit.runner import AuditRunner

__all__ = ["AuditRunner", "Failed", "Receiver", "receiver_of"]
