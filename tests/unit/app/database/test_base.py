"""Tables that classes declare: what an annotation tells of a column, and what it leaves to the declaration."""

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database import Base, Mapped, mapped_column


class _Declared(Base):
    """On a metadata of its own: those of the service's tables are compared with the database."""

    metadata = sa.MetaData()
    __tablename__ = "declared"

    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(comment="A name")
    note: Mapped[str | None] = mapped_column()
    is_alone: Mapped[bool] = mapped_column("solo", server_default=sa.text("false"))
    at: Mapped[datetime | None] = mapped_column()
    words: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    anything: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))

    __table_args__ = (sa.Index("ix_declared_name", "name"), {"comment": "A table"})


def test_a_column_may_be_null_where_its_annotation_says_so():
    nullable = [column.name for column in _Declared.__table__.c if column.nullable]

    assert nullable == ["note", "at", "anything"]


@pytest.mark.parametrize(
    ("column", "kind"),
    [("id", sa.BigInteger), ("name", sa.Text), ("note", sa.Text), ("solo", sa.Boolean), ("words", ARRAY)],
)
def test_a_column_has_the_type_that_is_declared_or_that_of_its_annotation(column, kind):
    assert isinstance(_Declared.__table__.c[column].type, kind)


def test_moments_have_a_time_zone():
    assert _Declared.__table__.c.at.type.timezone is True


def test_a_column_stands_on_the_class_by_the_name_of_its_attribute():
    assert _Declared.is_alone is _Declared.__table__.c.solo


def test_the_table_has_its_comment_and_its_indexes():
    table = _Declared.metadata.tables["declared"]

    assert (table.comment, [index.name for index in table.indexes]) == ("A table", ["ix_declared_name"])


def test_a_type_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="declares no type of SQL for complex"):

        class _Unknown(Base):
            metadata = sa.MetaData()
            __tablename__ = "unknown"

            size: Mapped[complex] = mapped_column()
