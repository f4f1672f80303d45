"""How a task is made: what may be asked for, drafts, idempotent acceptance, storing, and the hint after the commit."""

from app.services.submission.acceptance import Accepted, accept
from app.services.submission.batches import REFUSALS, Item, Refusal, accept_batch, draft_batch
from app.services.submission.drafts import (
    MAX_RETRIES,
    Submission,
    check_timeout,
    check_times,
    draft,
    draft_unchecked,
    longest_timeout,
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
    "check_timeout",
    "check_times",
    "draft",
    "draft_batch",
    "draft_unchecked",
    "longest_timeout",
    "publish",
    "publish_after_commit",
    "store",
]
