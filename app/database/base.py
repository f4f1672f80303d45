"""The base of all tables: a class with typed columns declares a table of SQLAlchemy, and that is all it does.

Statements read and write rows, and no object is mapped to one: SQLAlchemy's own base would load its ORM in every
process and make mappers, comparators and loaders for each of sixty classes, which nobody uses.
"""

from datetime import date, datetime
from decimal import Decimal
from inspect import get_annotations
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

T = TypeVar("T")

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
TYPES: dict[Any, type[sa.types.TypeEngine[Any]] | sa.types.TypeEngine[Any]] = {
    bool: sa.Boolean,
    bytes: sa.LargeBinary,
    date: sa.Date,
    datetime: sa.DateTime(timezone=True),
    Decimal: sa.Numeric,
    dict[str, Any]: JSONB,
    float: sa.Double,
    int: sa.Integer,
    str: sa.Text,
    UUID: sa.Uuid,
}
"""What a column has whose declaration names no type of SQL."""


class Mapped(Generic[T]):
    """The annotation of a column; `T` is what its values are in Python, with None where it may be null."""

    if TYPE_CHECKING:

        def __get__(self, row: None, table: type) -> sa.Column[T]: ...


def mapped_column(*arguments: Any, **options: Any) -> Any:
    """A column; what sa.Column takes, and its name, its type and whether it may be null are told by its annotation."""
    return sa.Column(*arguments, **options)


class Base:
    """What all tables share: one metadata, for requests, workers and migrations."""

    metadata: ClassVar[sa.MetaData] = sa.MetaData(naming_convention=NAMING_CONVENTION)
    __tablename__: ClassVar[str]
    __table__: ClassVar[sa.Table]
    __table_args__: ClassVar[tuple[Any, ...]] = ()

    def __init_subclass__(cls) -> None:
        columns = []
        for name, annotation in get_annotations(cls).items():
            column = vars(cls)[name]
            _complete(column, name, *get_args(annotation))
            columns.append(column)
        parts = [part for part in cls.__table_args__ if not isinstance(part, dict)]
        options = next((part for part in cls.__table_args__ if isinstance(part, dict)), {})
        cls.__table__ = sa.Table(cls.__tablename__, cls.metadata, *columns, *parts, **options)


def _complete(column: sa.Column[Any], name: str, kind: Any) -> None:
    kinds = get_args(kind) if NoneType in get_args(kind) else (kind,)
    if not column.name:
        column.name = column.key = name
    if isinstance(column.type, sa.types.NullType):
        [one] = (each for each in kinds if each is not NoneType)
        if one not in TYPES:
            raise TypeError(f"the column {name} declares no type of SQL for {getattr(one, '__name__', one)}; name one")
        column.type = sa.types.to_instance(TYPES[one])
    column.nullable = NoneType in kinds and not column.primary_key
