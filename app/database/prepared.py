"""Hot statements, which PostgreSQL plans once for each connection."""

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from app.config import get_settings
from app.database.session import Session

# By itself PostgreSQL plans again for each list of ids, because lists are not as long as it assumes. And a plan is kept
# for as long as nothing new is known of a table: made when it was empty, it would read all of it an hour later. An
# index gives the rows of a list of ids in the order of the ids, in which they are locked; a bitmap would not.
_ONE_PLAN = (
    "SET LOCAL plan_cache_mode = force_generic_plan; "
    "SET LOCAL enable_seqscan = off; "
    "SET LOCAL enable_bitmapscan = off; "
)


_PLACE = re.compile(r"(?<!:):(\w+)\b")


class Prepared:
    """A statement that PostgreSQL plans once a connection: planning costs more than running what touches few rows.

    `types` are its parameters, written `:name` in the text, and their types in SQL. Its plan must not depend on what
    they are; it uses indexes, and so does what follows it in its transaction. Needs a session of its own in the
    server: behind a pooler that lends out transactions, set PREPARE_STATEMENTS=false, and it is sent as it is.
    """

    def __init__(self, name: str, text: str, /, **types: str) -> None:
        self.name = f"taskledger_{name}"
        self.text = text
        self._names = tuple(types)
        numbers = {parameter: f"${position}" for position, parameter in enumerate(types, start=1)}
        casts = {parameter: f"CAST(%({parameter})s AS {type_})" for parameter, type_ in types.items()}
        self._plain = _filled(text.replace("%", "%%"), casts)
        self._prepare = f"PREPARE {self.name} ({', '.join(types.values())}) AS {_filled(text, numbers)}"
        self._execute = f"EXECUTE {self.name} ({', '.join(casts.values())})"

    def execute(self, session: Session, parameters: Mapping[str, Any], *, before: str = "") -> sa.CursorResult[Any]:
        """Run it; `before` is sent in the same round trip, and in its transaction."""
        return self.run(session.connection(), parameters, before=before)

    def run(
        self, connection: sa.Connection, parameters: Mapping[str, Any], *, before: str = ""
    ) -> sa.CursorResult[Any]:
        """The same on a connection."""
        if not get_settings().prepare_statements:
            return connection.exec_driver_sql(before + _ONE_PLAN + self._plain, dict(parameters))
        known = connection.connection.info.setdefault("prepared", set())
        if self.name not in known:
            connection.exec_driver_sql(self._prepare.replace("%", "%%"), {})
            known.add(self.name)
        return connection.exec_driver_sql(before + _ONE_PLAN + self._execute, dict(parameters))


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text with each `:name` of these values replaced; a name that is none of them stays."""
    return _PLACE.sub(lambda found: values.get(found[1], found[0]), text)
