"""What a task type accepts: an annotation becomes a strict check of payloads, and JSON Schema that says the same."""

from taskledger_sdk.payload.rules import Places, rule
from taskledger_sdk.payload.spec import Fault, PayloadCheck, PayloadSpec

__all__ = ["Fault", "PayloadCheck", "PayloadSpec", "Places", "rule"]
