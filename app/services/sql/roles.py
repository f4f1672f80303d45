"""Roles of the database: what taskledger_read and taskledger_operate may do, and who stands behind a log-in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg2.extensions
import sqlalchemy as sa
from psycopg2 import sql
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.errors import NotFound
from app.models import SqlRole

READ, OPERATE = "taskledger_read", "taskledger_operate"
IDLE = "60s"
ROLES = SqlRole.metadata.tables["sql_roles"]
# What views call is called with the rights of whoever selects from them.
CALLED_BY_VIEWS = (
    "caller()",
    "shown(jsonb, boolean, text[], text[])",
    "mask_named(jsonb)",
    "is_secret_name(text)",
)
FUNCTIONS = (
    "submit(text, jsonb, text, text, timestamptz, integer, integer, jsonb, timestamptz, text)",
    "cancel(uuid)",
    "retry(uuid)",
    "retry_where(text, text)",
    "signal(uuid, text, jsonb)",
    "pause_queue(text, text)",
    "resume_queue(text)",
    "pause_type(text, text)",
    "resume_type(text)",
)
_VIEWS = sa.text(
    "SELECT relname FROM pg_class WHERE relnamespace = 'taskledger'::regnamespace AND relkind = 'v' ORDER BY 1"
)
_EXISTS = sa.text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A role that logs in, the account it stands for, and what it may do."""

    role_name: str
    owner: str
    reads_all: bool
    operates: bool


def create(session: Session) -> list[str]:
    """Make the two roles where they are missing, and grant them what they may; returns the statements."""
    done = statements(session)
    for statement in done:
        session.execute(sa.text(statement))
    return done


def statements(session: Session) -> list[str]:
    """What `create` runs; for an administrator of the database where the service may not make roles."""
    missing = [name for name in (READ, OPERATE) if not exists(session, name)]
    return [
        *(f"CREATE ROLE {name} NOLOGIN" for name in missing),
        f"GRANT {READ} TO {OPERATE}",  # who changes something may also see it
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",  # functions of ours look there for the tables
        *grants(session),
    ]


def grants(session: Session) -> list[str]:
    """What the two roles may do. A migration that makes a view or a function anew needs them again."""
    views = ", ".join(f"taskledger.{name}" for name in session.scalars(_VIEWS))
    helpers = ", ".join(f"taskledger.{name}" for name in CALLED_BY_VIEWS)
    functions = ", ".join(f"taskledger.{name}" for name in FUNCTIONS)
    return [
        f"GRANT USAGE ON SCHEMA taskledger TO {READ}",
        f"GRANT SELECT ON {views} TO {READ}",
        f"GRANT EXECUTE ON FUNCTION {helpers} TO {READ}",
        f"GRANT EXECUTE ON FUNCTION {functions} TO {OPERATE}",
    ]


def exists(session: Session, name: str) -> bool:
    """Whether the database has a role of this name."""
    return bool(session.scalar(_EXISTS, {"name": name}))


def make_login(session: Session, name: str, password: str) -> None:
    """Make a role that logs in. The password reaches the server as a SCRAM verifier, and no log in the clear."""
    driver = session.connection().connection.driver_connection
    verifier = psycopg2.extensions.encrypt_password(password, name, scope=driver, algorithm="scram-sha-256")
    _run(session, "CREATE ROLE {} LOGIN PASSWORD {}", sql.Identifier(name), sql.Literal(verifier))
    # Workers wait for what an open transaction has changed.
    _run(session, f"ALTER ROLE {{}} SET idle_in_transaction_session_timeout = '{IDLE}'", sql.Identifier(name))


def add(session: Session, name: str, owner_id: UUID, *, operates: bool, reads_all: bool, now: datetime) -> None:
    """Let a role act for an account, or change how it does. Raises NotFound for a role the database does not have."""
    if not exists(session, name):
        raise NotFound(f"The database has no role {name}: make it with CREATE ROLE, or add --create.")
    values = {"owner_id": owner_id, "reads_all": reads_all}
    statement = insert(ROLES).values(role_name=name, created_at=now, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[ROLES.c.role_name], set_=values))
    _run(session, f"REVOKE {READ}, {OPERATE} FROM {{}}", sql.Identifier(name))
    _run(session, f"GRANT {OPERATE if operates else READ} TO {{}}", sql.Identifier(name))


def remove(session: Session, name: str) -> bool:
    """Take back what a role may do; it stays in the database. False when it was not there."""
    if exists(session, name) and exists(session, OPERATE):
        _run(session, f"REVOKE {READ}, {OPERATE} FROM {{}}", sql.Identifier(name))
    gone = session.execute(sa.delete(ROLES).where(ROLES.c.role_name == name).returning(ROLES.c.role_name))
    return gone.first() is not None


_LOGINS = sa.text("""
    SELECT role_name, users.email AS owner, reads_all, coalesce(
        (SELECT pg_has_role(oid, :operate, 'MEMBER') FROM pg_roles WHERE rolname = role_name), false
    ) AS operates
    FROM sql_roles
    JOIN users ON users.id = owner_id
    ORDER BY role_name
""")


def logins(session: Session) -> list[Login]:
    """Who was added, by name."""
    if not exists(session, OPERATE):
        return []
    return [Login(**row) for row in session.execute(_LOGINS, {"operate": OPERATE}).mappings()]


def _run(session: Session, statement: str, *parts: sql.Composable) -> None:
    driver = session.connection().connection.driver_connection
    assert driver is not None  # noqa: S101  (a connection in use has one)
    text = sql.SQL(statement).format(*parts).as_string(driver)
    session.connection().exec_driver_sql(text, execution_options={"no_parameters": True})
