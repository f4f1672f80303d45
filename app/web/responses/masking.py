"""What of a sensitive task the caller may see: its owner everything, anybody else that there is something."""

from typing import Any
from uuid import UUID

from msgspec.structs import replace

from app.models import TaskRecord
from app.services.encryption import ciphertexts
from app.web.access import current_owner_id
from app.web.current_settings import current_settings
from taskledger_sdk.registry import find_type, get_type


def payload_keys() -> ciphertexts.Keys:
    """The keys that payloads of sensitive types are encrypted with."""
    return ciphertexts.keys(current_settings().payload_keys)


def digest_secrets(type_name: str) -> tuple[str, ...]:
    """What keys the digest of a submission that an Idempotency-Key keeps: of short payloads a plain one tells all.

    The first one keys new digests, the others may have keyed old ones; none for types that are not sensitive.
    """
    return current_settings().secret_keys if get_type(type_name).sensitive else ()


def presentable(task: TaskRecord) -> TaskRecord:
    """The task as the caller may see it; tasks of ordinary types as they are."""
    if not is_sensitive(task):
        return task
    if task.owner_id is None or task.owner_id != current_owner_id():
        return replace(task, payload=ciphertexts.MASKED, result=task.result and ciphertexts.MASKED)
    return replace(
        task, payload=readable(task.payload, task.id, "payload"), result=readable(task.result, task.id, "result")
    )


def is_sensitive(task: TaskRecord) -> bool:
    """Whether its type says so; of a type that is gone, whether it looks encrypted."""
    kind = find_type(task.type)
    return ciphertexts.is_encrypted(task.payload) if kind is None else kind.sensitive


def readable(value: Any, task_id: UUID, column: str) -> Any:
    """A value in the clear; the mask where no key can read it."""
    try:
        return ciphertexts.decrypted(value, task_id, column, keys=payload_keys())
    except ciphertexts.CannotDecrypt:
        return ciphertexts.MASKED
