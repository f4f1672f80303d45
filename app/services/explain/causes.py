"""From evidence to one cause: rules in the order in which they are asked; the first that holds is the answer. Pure."""

from dataclasses import replace

from app.models import Status, TaskRecord
from app.services.explain import delivery_causes, row_causes, waiting_causes
from app.services.explain.answers import Answer
from app.services.explain.evidence import Evidence, NamedRules

OF_WAITING: NamedRules = (*row_causes.NOT_DUE, *delivery_causes.DUE)
CAUSES = tuple(name for name, _ in (*row_causes.FINISHED, *row_causes.RUNNING, *waiting_causes.SUSPENDED, *OF_WAITING))
LAST_WORDS = frozenset({"running", "in_line"})  # what is said where nothing is in the way: true of no other answer


def rank(evidence: Evidence) -> Answer:
    """The first cause that holds; the others that hold as well are named in its evidence.

    Only the rules of its status are asked: of a task that waits for nobody, nothing was looked at that others need.
    """
    task = evidence.task
    answers = [(name, answer) for name, rule in _rules_of(task) if (answer := rule(evidence)) is not None]
    name, first = answers[0]
    also = [other for other, _ in answers[1:] if other not in LAST_WORDS]
    evidence_of_first = {**first.evidence, "also": also} if also else dict(first.evidence)
    return replace(first, cause=name, task_id=task.id, status=task.status, evidence=evidence_of_first)


def _rules_of(task: TaskRecord) -> NamedRules:
    if task.is_finished:
        return row_causes.FINISHED
    if task.status == Status.WAITING:
        return waiting_causes.SUSPENDED
    return row_causes.RUNNING if task.status == Status.PROCESSING else OF_WAITING
