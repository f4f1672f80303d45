"""What a task type accepts: an annotation becomes a strict check of payloads, and JSON Schema that says the same."""

from taskledger_sdk.payload.rules import Places, rule
from taskledger_sdk.payload.spec import Fault, PayloadSpec

__all__ = ["Fault", "PayloadSpec", "Places", "rule"]
