"""How a task is made: what may be asked for, drafts, idempotent acceptance, storing, and the hint after the commit."""

from app.services.submission.acceptance import Accepted, accept, repeated
from app.services.submission.batches import REFUSALS, Item, Refusal, accept_batch, accept_plain, draft_batch
from app.services.submission.drafts import (
    MAX_RETRIES,
    Submission,
    check_timeout,
    check_times,
    draft,
    draft_unchecked,
)
from app.services.submission.storage import publish, publish_after_commit, store

__all__ = [
    "MAX_RETRIES",
    "REFUSALS",
    "Accepted",
    "Item",
    "Refusal",
    "Submission",
    "accept",
    "accept_batch",
    "accept_plain",
    "check_timeout",
    "check_times",
    "draft",
    "draft_batch",
    "draft_unchecked",
    "publish",
    "publish_after_commit",
    "repeated",
    "store",
]
