"""Schedules, triggers, workflows and unfinished runs against the schemas of a new release."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from app.database import Session
from app.services.releases import templates
from app.services.releases.findings import Findings, Kind, Sample
from app.services.releases.json_schema import Fault, Schema
from app.services.releases.new_release import NewRelease
from app.services.workflows import Definition
from taskledger_sdk.workflows import Step
from taskledger_sdk.workflows.payloads import of_input
from taskledger_sdk.workflows.templates import Lookup

PAGE = 500
MAX_RUNS = 20_000
"""So many runs are looked at; of more, some of each version."""

# Those that the code declares come with the release, as it has them.
_SCHEDULES = sa.text("""
    SELECT id, name, target, schema_hash
    FROM schedules
    WHERE declared IS NULL AND (next_at IS NOT NULL OR NOT enabled)
""")
_TRIGGERS = sa.text("SELECT id, coalesce(name, event) AS name, target, schema_hash FROM triggers")
_WORKFLOWS = sa.text("""
    SELECT workflows.id, workflows.name, versions.definition, versions.schema_hashes
    FROM workflows
    JOIN workflow_versions AS versions ON versions.workflow_id = workflows.id AND versions.number = workflows.version
    WHERE workflows.owner_id IS NOT NULL AND workflows.active
""")
_VERSIONS = sa.text("""
    SELECT versions.id, versions.definition, versions.schema_hashes, used.runs
    FROM (
        SELECT version_id, count(*) AS runs
        FROM workflow_runs
        WHERE status IN ('RUNNING', 'PAUSED', 'COMPENSATING')
        GROUP BY version_id
    ) AS used
    JOIN workflow_versions AS versions ON versions.id = used.version_id
""")
_RUNS = sa.text("""
    SELECT runs.id, runs.workflow_name, runs.input, steps.waiting
    FROM workflow_runs AS runs
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(key) FILTER (WHERE state = 'WAITING'), '{}') AS waiting
        FROM workflow_steps
        WHERE run_id = runs.id
    ) AS steps
    WHERE runs.version_id = :version
        AND runs.status IN ('RUNNING', 'PAUSED', 'COMPENSATING')
        AND mod(uuid_hash(runs.id), :step) = 0
""")


def look_at_schedules(session: Session, release: NewRelease, findings: Findings) -> None:
    """Find the schedules whose tasks the release refuses; those that start runs go by what their workflow says."""
    _look_at_targets(session, _SCHEDULES, Kind.SCHEDULE, Schema.faults, release, findings)


def look_at_triggers(session: Session, release: NewRelease, findings: Findings) -> None:
    """Find the triggers whose tasks the release refuses, whatever the event says; also those that are paused."""
    _look_at_targets(session, _TRIGGERS, Kind.TRIGGER, templates.faults_of, release, findings)


def _look_at_targets(
    session: Session,
    rows: sa.TextClause,
    kind: Kind,
    faults_of: Callable[[Schema, Any], list[Fault]],
    release: NewRelease,
    findings: Findings,
) -> None:
    """Look at rows with the task that they submit in `target`; `faults_of` says what is wrong with its payload."""
    for row in _paged(session, rows):
        template = row.target.get("task")
        if template is None:
            continue
        name, known = template["type"], row.schema_hash
        if release.is_gone(name):
            findings.gone(kind, name, sample=Sample(id=str(row.id), name=row.name, path="task.type"))
        elif name in release.types and release.looks_at(name):
            findings.checked[kind] += 1
            of_release = release.types[name]
            faults = [] if known in of_release.understood else faults_of(of_release.schema, template["payload"])
            if faults:
                below = _below(("task", "payload"), faults)
                findings.refused(kind, name, known, below, found_id=str(row.id), name=row.name)


def look_at_workflows(session: Session, release: NewRelease, findings: Findings) -> None:
    """Find the workflows, of people, that may be started, and whose steps the release refuses whatever they get."""
    for row in _paged(session, _WORKFLOWS):
        definition, known = Definition.stored(row.definition), row.schema_hashes or {}
        findings.checked[Kind.WORKFLOW] += 1
        gone, refused = _judged(release, definition, list(definition.steps), known, None)
        _note(findings, Kind.WORKFLOW, str(row.id), row.name, gone, refused, known)


def look_at_runs(session: Session, release: NewRelease, findings: Findings) -> None:
    """Find the unfinished runs with steps to come that the release refuses, as far as their input says."""
    versions = session.execute(_VERSIONS).all()
    each = max(20, MAX_RUNS // max(1, len(versions)))
    for version in versions:
        definition, known = Definition.stored(version.definition), version.schema_hashes or {}
        if not _concerns(release, definition, known):
            continue
        step, checked = -(-version.runs // each), 0
        for run in _paged(session, _RUNS, version=version.id, step=step):
            checked += 1
            gone, refused = _judged(release, definition, run.waiting, known, of_input(run.input))
            _note(findings, Kind.RUN, str(run.id), run.workflow_name, gone, refused, known)
        findings.checked[Kind.RUN] += checked
        if step > 1:
            for name in sorted({each for each, _ in _types(definition) if release.looks_at(each)}):
                findings.sample(Kind.RUN, name, checked=checked, of=version.runs)


def _types(definition: Definition) -> Iterator[tuple[str, Step]]:
    for step in definition.steps.values():
        yield step.type, step
        if step.compensate_with is not None:
            yield step.compensate_with.type, step


def _concerns(release: NewRelease, definition: Definition, known: Mapping[str, str]) -> bool:
    """Whether anything of the definition is other than it was when it was stored."""
    return any(
        release.is_gone(name)
        or (name in release.types and release.looks_at(name) and known.get(name) not in release.types[name].understood)
        for name, _ in _types(definition)
    )


def _judged(
    release: NewRelease, definition: Definition, waiting: list[str], known: Mapping[str, str], lookup: Lookup | None
) -> tuple[dict[str, str], dict[str, list[Fault]]]:
    """By type: where it is needed and gone; and what is refused of steps that wait, and of compensations."""
    gone: dict[str, str] = {}
    refused: dict[str, list[Fault]] = {}
    for step in definition.steps.values():
        parts: list[tuple[str, str, Any]] = []
        if step.key in waiting:
            parts.append(("payload", step.type, step.payload))
        if step.compensate_with is not None:
            parts.append(("compensate_with", step.compensate_with.type, step.compensate_with.payload))
        for where, name, template in parts:
            if release.is_gone(name):
                gone.setdefault(name, f"steps.{step.key}")
            elif name in release.types and release.looks_at(name):
                kind = release.types[name]
                if known.get(name) not in kind.understood:
                    faults = templates.faults_of(kind.schema, template, known=lookup)
                    refused.setdefault(name, []).extend(_below(("steps", step.key, where), faults))
    return gone, {name: faults for name, faults in refused.items() if faults}


def _note(
    findings: Findings,
    kind: Kind,
    id_: str,
    name: str,
    gone: Mapping[str, str],
    refused: Mapping[str, list[Fault]],
    known: Mapping[str, str],
) -> None:
    for type_name, path in gone.items():
        findings.gone(kind, type_name, sample=Sample(id=id_, name=name, path=path))
    for type_name, faults in refused.items():
        findings.refused(kind, type_name, known.get(type_name), faults, found_id=id_, name=name)


def _below(place: tuple[str, ...], faults: list[Fault]) -> list[Fault]:
    return [Fault((*place, *fault.path), fault.message, fault.keyword) for fault in faults]


def _paged(session: Session, query: sa.TextClause, **values: Any) -> Iterator[Any]:
    yield from session.execute(query, values, execution_options={"stream_results": True, "yield_per": PAGE})
