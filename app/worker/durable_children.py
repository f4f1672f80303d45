"""The children of a durable handler, checked and drafted as task.submit() does it."""

from collections.abc import Callable

from app import clock
from app.database import Session
from app.models import TaskRecord
from app.services.durable.undoing import UNDO
from app.services.lifecycle import Claim
from app.services.tasks import children
from app.worker.children import WorkerChildren
from app.worker.payload_keys import payload_keys
from taskledger_sdk.durable.values import Child, Undo
from taskledger_sdk.errors import PermanentError
from taskledger_sdk.registry import find_type
from taskledger_sdk.workflows.control import UNDO_ITEMS

TAKE_BACK = frozenset({UNDO, UNDO_ITEMS})


class DurableChildren(WorkerChildren):
    """What one attempt of a durable handler submits: steps lead later attempts to it, and limit how much it is."""

    def __init__(self, claim: Claim, fence: Callable[[Session], None], *, is_ours: bool = False) -> None:
        """`is_ours`: the handler is the service's own, and may submit what nobody else may."""
        super().__init__(claim, fence)
        self._is_ours = is_ours
        self.takes_back = claim.type in TAKE_BACK

    def draft(self, wanted: Child) -> TaskRecord:
        """The row to be. Raises PermanentError for what a submission refuses."""
        wish = children.wish(wanted.type, wanted.payload, None, wanted.options, is_ours=self._is_ours)
        self._check(wish, are_counted=False)
        family, keys = self._family, payload_keys()
        draft = children.draft(
            wish, parent_id=self._claim.id, owner_id=family.owner_id, now=clock.utcnow(), payload_keys=keys
        )
        if draft.ordering_key is not None and draft.ordering_key in family.ordering_keys:
            raise PermanentError(
                f"task.call({wanted.type!r}): its ordering key {draft.ordering_key!r} is that of a task above it, "
                "which it would wait for, and which waits for it; give it another one"
            )
        return draft

    def take_room(self, session: Session, tasks: int) -> None:
        """Take places in the owner's quota until the transaction ends. Raises NoRoom."""
        self._take_room(session, tasks)

    @staticmethod
    def check_undo(undo: Undo) -> None:
        """Raises PermanentError for a task type that is not there, or not for handlers."""
        kind = find_type(undo.type)
        if kind is None or kind.internal:
            raise PermanentError(f"undo=({undo.type!r}, …): there is no such task type for handlers to use")
