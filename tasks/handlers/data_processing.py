"""data_processing: one operation over the rows of a CSV, JSON lines or Parquet file, kept as a new file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from marshmallow.validate import Length, Range, Regexp

from taskledger_sdk import PermanentError, RetryPolicy, TaskContext, rule, task_type
from taskledger_sdk.errors import TaskError
from taskledger_sdk.payload.fields import UUID_TEXT
from tasks.operations import Column, Condition, Derived, Key, Measure
from tasks.tables import MEDIA_TYPES, Checked, Engine, Reading, Source, Table, Written, check, format_of, open_engine
from tasks.tables.deriving import derived
from tasks.tables.engine import OUTPUT_BYTES
from tasks.tables.filtering import filtered
from tasks.tables.grouping import grouped
from tasks.tables.joining import joined
from tasks.tables.ordering import deduplicated, sorted_by
from tasks.tables.writing import write

PREVIEW_ROWS = 5
Columns = Annotated[list[Column], rule(Length(min=1, max=100))]
Dataset = Annotated[
    str,
    rule(
        Regexp("[0-9A-Za-z][0-9A-Za-z_.-]{0,119}"),
        description="The id of an artifact, or the name of a file in the data directory (DATA_DIR)",
    ),
]


class DrillError(TaskError):
    """The failure that forceFailure asks for: to see retries, dead letters and alerts at work."""


@dataclass(frozen=True, kw_only=True)
class Common(Reading):
    """What every operation takes; how the dataset is to be read stands beside it."""

    dataset: Dataset
    output: Literal["csv", "jsonl", "parquet"] = "csv"
    forceFailure: bool = rule(default=False, description="Fail on purpose, as a drill")  # noqa: N815 (its public name)


@dataclass(frozen=True, kw_only=True)
class Filter(Common):
    """Keep the rows for which all (or any) of the conditions hold."""

    operation: Literal["filter"]
    where: list[Condition] = rule(Length(min=1, max=50))
    match: Literal["all", "any"] = "all"


@dataclass(frozen=True, kw_only=True)
class Select(Common):
    """Keep these columns, in this order."""

    operation: Literal["select"]
    columns: Columns


@dataclass(frozen=True, kw_only=True)
class Derive(Common):
    """Add columns; a later one may use an earlier one."""

    operation: Literal["derive"]
    columns: list[Derived] = rule(Length(min=1, max=50))


@dataclass(frozen=True, kw_only=True)
class Aggregate(Common):
    """One row a group, or one row in all without `group_by`; sorted by the groups."""

    operation: Literal["aggregate"]
    group_by: list[Column] = rule(Length(max=50), default_factory=list)
    measures: list[Measure] = rule(Length(min=1, max=50))


@dataclass(frozen=True, kw_only=True)
class Join(Common):
    """Rows together with those of another dataset that have the same values in the columns `on`.

    Other columns that both have get `_other` behind their name.
    """

    operation: Literal["join"]
    other: Dataset
    other_reading: Reading | None = rule(default=None, description="How the other dataset is to be read")
    on: Columns
    how: Literal["inner", "left", "outer"] = "inner"


@dataclass(frozen=True, kw_only=True)
class Sort(Common):
    """Rows in order, or the first of them."""

    operation: Literal["sort"]
    by: list[Key] = rule(Length(min=1, max=20))
    limit: int | None = rule(Range(min=1, max=1_000_000_000), default=None)


@dataclass(frozen=True, kw_only=True)
class Deduplicate(Common):
    """The first row of those that agree in the columns (in all columns, when none are named)."""

    operation: Literal["deduplicate"]
    columns: list[Column] = rule(Length(max=100), default_factory=list)


Operation = Filter | Select | Derive | Aggregate | Join | Sort | Deduplicate


def delete_output(task: TaskContext, _payload: Operation, result: dict[str, Any]) -> dict[str, Any]:
    """Delete the file that was made."""
    try:
        task.artifacts.delete(UUID(result["artifact_id"]))
    except PermanentError:  # deleted or expired before: gone is gone
        return {"deleted": None}
    return {"deleted": result["artifact_id"]}


@task_type(
    "data_processing",
    retry=RetryPolicy(max_retries=2, base_seconds=5),
    timeout_seconds=600,
    settings=("DATA_DIR", "ARTIFACT_MAX_BYTES"),
    undo=delete_output,
    examples=(
        {
            "dataset": "00000000-0000-7000-8000-000000000001",
            "operation": "aggregate",
            "group_by": ["customer_id"],
            "measures": [
                {"name": "orders", "function": "count"},
                {"name": "quantity", "function": "sum", "column": "quantity"},
            ],
        },
        {
            "dataset": "00000000-0000-7000-8000-000000000001",
            "operation": "join",
            "other": "00000000-0000-7000-8000-000000000003",
            "on": ["customer_id"],
            "output": "jsonl",
        },
        {
            "dataset": "00000000-0000-7000-8000-000000000001",
            "operation": "filter",
            "where": [{"column": "ordered_on", "op": "ge", "value": "2026-02-01"}],
            "output": "parquet",
        },
        {
            "dataset": "00000000-0000-7000-8000-000000000001",
            "delimiter": ",",
            "decimal": ".",
            "types": {"unit_price": "number"},
            "operation": "sort",
            "by": [{"column": "unit_price", "descending": True}],
            "limit": 10,
            "output": "jsonl",
        },
    ),
)
def data_processing(task: TaskContext, payload: Operation) -> dict[str, Any]:
    """Filter, select, derive, aggregate, join, sort or deduplicate the rows of a file, and keep the result as another.

    Files are CSV, JSON lines or Parquet, told by their name. Every row is read, or the task fails and names the line;
    cells that the operation does not change come back as they are, and how the file was read stands in the result. The
    engine reads the named files and nothing else, has no network, and goes to disk past 200 MB. With `forceFailure`
    the task fails on purpose.
    """
    most = int(task.settings.get("ARTIFACT_MAX_BYTES") or OUTPUT_BYTES)
    with ExitStack() as files:
        sources = [files.enter_context(_source(task, payload.dataset, payload))]
        if isinstance(payload, Join):
            sources.append(files.enter_context(_source(task, payload.other, payload.other_reading or Reading())))
        engine = files.enter_context(open_engine(sources, output_bytes=most))
        task.progress(0.02, "reading")
        if payload.forceFailure:
            raise DrillError("failed on purpose, because the payload says forceFailure")
        checked = list(_checked(task, engine, sources))
        written, read = engine.run(task, lambda: _made(payload, engine, checked), start=0.3, end=0.9)
        name = f"{payload.operation}.{payload.output}"
        with written.open() as content:
            kept = task.artifacts.save(name, MEDIA_TYPES[payload.output], content)
    made = {"artifact_id": str(kept.id), "name": kept.name, "size": kept.size}
    return {**made, "rows": written.rows, "preview": written.preview, "read": read}


def _checked(task: TaskContext, engine: Engine, sources: list[Source]) -> Iterator[Checked]:
    """The files, each looked through from its first to its last byte."""
    for index, source in enumerate(sources):

        def tick(share: float, done: int = index) -> None:
            task.check_cancelled()
            task.progress(0.02 + 0.28 * (done + share) / len(sources), "reading")

        yield check(source, engine.checked_folder, tick)


def _made(payload: Operation, engine: Engine, checked: list[Checked]) -> tuple[Written, list[dict[str, Any]]]:
    """The written result, and how the files were read."""
    tables = [engine.load(each) for each in checked]
    engine.go_on()
    written = write(engine, _applied(payload, tables), payload.output, preview=PREVIEW_ROWS)
    return written, [each.told() for each in checked]


@contextmanager
def _source(task: TaskContext, dataset: str, payload: Reading) -> Iterator[Source]:
    """The file behind a dataset's name."""
    reading = Reading(**{each.name: getattr(payload, each.name) for each in fields(Reading)})
    if not UUID_TEXT.fullmatch(dataset):
        yield _in_data_directory(task.settings.get("DATA_DIR"), dataset, reading)
        return
    artifact = task.artifacts.info(UUID(dataset))
    form = format_of(artifact.name, artifact.media_type)
    if form is None:
        raise PermanentError(f"artifact {artifact.name} is neither CSV, JSON lines nor Parquet, as its name tells")
    with task.artifacts.local_path(artifact.id) as path:
        yield Source(path=path, format=form, name=artifact.name, reading=reading)


def _in_data_directory(folder: str | None, name: str, reading: Reading) -> Source:
    if not folder:
        raise PermanentError(f"there is no dataset {name}: DATA_DIR is not set here; upload it, and give its id")
    root = Path(folder).resolve()
    path, form = (root / name).resolve(), format_of(name)
    if path.parent != root or not path.is_file() or form is None:  # a link may lead out of the directory
        raise PermanentError(f"there is no dataset {name} in the data directory (CSV, JSON lines or Parquet)")
    return Source(path=path, format=form, name=name, reading=reading)


def _applied(payload: Operation, tables: list[Table]) -> Table:
    """The rows after the operation; nothing of the payload ever becomes SQL text, only names of ours and constants."""
    table = tables[0]
    match payload:
        case Filter():
            return filtered(table, payload.where, payload.match)
        case Select():
            return replace(table, columns=tuple(table.column(name) for name in payload.columns))
        case Derive():
            return derived(table, payload.columns)
        case Aggregate():
            return grouped(table, payload.group_by, payload.measures)
        case Join():
            return joined(table, tables[1], payload.on, payload.how)
        case Sort():
            return sorted_by(table, payload.by, payload.limit)
        case Deduplicate():
            return deduplicated(table, payload.columns)
