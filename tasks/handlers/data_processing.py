"""data_processing: one operation over the rows of a CSV, JSON lines or Parquet file, kept as a new file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from marshmallow.validate import Length, Range, Regexp

from tasks import PermanentError, RetryPolicy, TaskContext, rule, task_type
from tasks.errors import TaskError
from tasks.fields import UUID_TEXT
from tasks.operations import Column, Condition, Derived, Key, Measure, as_condition, computed, measured, ordered
from tasks.tables import MEDIA_TYPES, Engine, Source, format_of, open_engine

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation, Expression

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
class Common:
    """What every operation takes."""

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
    settings=("DATA_DIR",),
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
    ),
)
def data_processing(task: TaskContext, payload: Operation) -> dict[str, Any]:
    """Filter, select, derive, aggregate, join, sort or deduplicate the rows of a file, and keep the result as another.

    Files are CSV (with a header), JSON lines or Parquet, told by their name. The engine reads the named files and
    nothing else, has no network, and goes to disk past 200 MB. With `forceFailure` the task fails on purpose.
    """
    with ExitStack() as files:
        sources = [files.enter_context(_source(task, payload.dataset))]
        if isinstance(payload, Join):
            sources.append(files.enter_context(_source(task, payload.other)))
        engine = files.enter_context(open_engine(sources))
        task.progress(0.05, "reading")
        if payload.forceFailure:
            raise DrillError("failed on purpose, because the payload says forceFailure")
        written = engine.run(
            task,
            lambda: engine.write(_applied(payload, engine, sources), payload.output, preview=PREVIEW_ROWS),
            start=0.1,
            end=0.9,
        )
        with written.path.open("rb") as content:
            kept = task.artifacts.save(f"{payload.operation}.{payload.output}", MEDIA_TYPES[payload.output], content)
    made = {"artifact_id": str(kept.id), "name": kept.name, "size": kept.size}
    return {**made, "rows": written.rows, "preview": written.preview}


@contextmanager
def _source(task: TaskContext, dataset: str) -> Iterator[Source]:
    """The file behind a dataset's name."""
    if not UUID_TEXT.fullmatch(dataset):
        yield _in_data_directory(task.settings.get("DATA_DIR"), dataset)
        return
    artifact = task.artifacts.info(UUID(dataset))
    form = format_of(artifact.name, artifact.media_type)
    if form is None:
        raise PermanentError(f"artifact {artifact.name} is neither CSV, JSON lines nor Parquet, as its name tells")
    with task.artifacts.local_path(artifact.id) as path:
        yield Source(path=path, format=form, name=artifact.name)


def _in_data_directory(folder: str | None, name: str) -> Source:
    if not folder:
        raise PermanentError(f"there is no dataset {name}: DATA_DIR is not set here; upload it, and give its id")
    root = Path(folder).resolve()
    path, form = (root / name).resolve(), format_of(name)
    if path.parent != root or not path.is_file() or form is None:  # a link may lead out of the directory
        raise PermanentError(f"there is no dataset {name} in the data directory (CSV, JSON lines or Parquet)")
    return Source(path=path, format=form, name=name)


def _applied(payload: Operation, engine: Engine, sources: list[Source]) -> DuckDBPyRelation:
    """The rows after the operation; nothing of the payload ever becomes SQL text, only names and values."""
    from duckdb import ColumnExpression

    rows = engine.read(sources[0])
    match payload:
        case Filter():
            return rows.filter(reduce(and_ if payload.match == "all" else or_, _conditions(payload, rows)))
        case Select():
            return rows.select(*map(ColumnExpression, payload.columns))
        case Derive():
            return _derived(payload, rows)
        case Aggregate():
            groups = [ColumnExpression(column) for column in payload.group_by]
            found = rows.aggregate([*groups, *(measured(measure) for measure in payload.measures)])
            return found.sort(*groups) if groups else found
        case Join():
            return _joined(payload, rows, engine.read(sources[1]))
        case Sort():
            found = rows.sort(*(ordered(key) for key in payload.by))
            return found if payload.limit is None else found.limit(payload.limit)
        case Deduplicate():
            return _deduplicated(payload, rows)


def _conditions(payload: Filter, rows: DuckDBPyRelation) -> Iterator[Expression]:
    types = dict(zip(rows.columns, rows.types, strict=True))
    for condition in payload.where:
        yield as_condition(condition, types.get(condition.column))


def _derived(payload: Derive, rows: DuckDBPyRelation) -> DuckDBPyRelation:
    from duckdb import ColumnExpression, StarExpression

    for derived in payload.columns:
        made = computed(derived).alias(derived.name)
        # A name that is there already is replaced where it stands.
        if derived.name in rows.columns:
            kept = [made if column == derived.name else ColumnExpression(column) for column in rows.columns]
            rows = rows.select(*kept)
        else:
            rows = rows.select(StarExpression(), made)
    return rows


def _joined(payload: Join, left: DuckDBPyRelation, right: DuckDBPyRelation) -> DuckDBPyRelation:
    from duckdb import CoalesceOperator, ColumnExpression

    ours, theirs = left.set_alias("ours"), right.set_alias("theirs")
    same = (ColumnExpression("ours", column) == ColumnExpression("theirs", column) for column in payload.on)
    both = ours.join(theirs, reduce(and_, same), how=payload.how)
    kept = [
        CoalesceOperator(ColumnExpression("ours", column), ColumnExpression("theirs", column)).alias(column)
        if column in payload.on
        else ColumnExpression("ours", column)
        for column in left.columns
    ]
    added = [
        ColumnExpression("theirs", column).alias(f"{column}_other" if column in left.columns else column)
        for column in right.columns
        if column not in payload.on
    ]
    return both.select(*kept, *added)


def _deduplicated(payload: Deduplicate, rows: DuckDBPyRelation) -> DuckDBPyRelation:
    from duckdb import ColumnExpression, FunctionExpression

    keys = payload.columns or rows.columns
    # `first` is the first row of the file: the engine has one thread and reads in order.
    kept = [
        ColumnExpression(column)
        if column in keys
        else FunctionExpression("first", ColumnExpression(column)).alias(column)
        for column in rows.columns
    ]
    unknown = [ColumnExpression(column) for column in keys if column not in rows.columns]  # refused by name
    return rows.aggregate([*kept, *unknown])
