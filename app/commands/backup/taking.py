"""Taking a backup: one snapshot of the database, and the files that it names, while everything goes on working."""

from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa

from app.clock import utcnow
from app.commands.backup import folder as folders
from app.commands.backup import programs
from app.commands.backup.folder import Manifest
from app.config import Settings
from app.database import address_of, sqlalchemy_url, transaction
from app.errors import TaskledgerError
from app.services.accounts import audit
from app.services.artifacts.store import Store, StoreAway

Progress = Callable[[str], None]

STORED = sa.text("SELECT id FROM artifacts WHERE stored_at IS NOT NULL ORDER BY id")
BY_STATUS = sa.text("SELECT status, count(*) AS count FROM tasks GROUP BY status ORDER BY status")
GRANTEES = sa.text("""
    SELECT DISTINCT rolname
    FROM pg_roles
    JOIN (
        SELECT (aclexplode(relacl)).grantee
        FROM pg_class
        WHERE relnamespace::regnamespace::text = ANY(:schemas)
        UNION
        SELECT (aclexplode(proacl)).grantee
        FROM pg_proc
        WHERE pronamespace::regnamespace::text = ANY(:schemas)
        UNION
        SELECT (aclexplode(nspacl)).grantee
        FROM pg_namespace
        WHERE nspname = ANY(:schemas)
        UNION
        SELECT (aclexplode(defaclacl)).grantee
        FROM pg_default_acl
    ) AS granted ON granted.grantee = pg_roles.oid
    WHERE rolname !~ '^pg_' AND rolname <> current_user
    ORDER BY rolname
""")
SCHEMAS = ["public", "taskledger"]


def take(settings: Settings, target: Path, *, with_artifacts: bool, say: Progress) -> Manifest:
    """Write a backup into a new folder; it appears under its name only once it is complete. Raises TaskledgerError."""
    if target.exists():
        raise TaskledgerError(f"{target} exists already: a backup is a new folder")
    draft = target.with_name(f"{target.name}.incomplete")
    try:
        draft.mkdir(mode=0o700, parents=True)
        (draft / folders.ARTIFACTS).mkdir(mode=0o700)
    except FileExistsError:
        raise TaskledgerError(f"{draft} is left of an earlier backup that did not finish: remove it") from None
    manifest = _write(settings, draft, with_artifacts=with_artifacts, say=say)
    draft.rename(target)
    with transaction() as session:  # `doctor` asks when the last one was taken
        audit.record(session, "ledger.backed_up", audit.COMMAND_LINE, now=utcnow(), taken_at=manifest.taken_at)
    return manifest


def _write(settings: Settings, draft: Path, *, with_artifacts: bool, say: Progress) -> Manifest:
    engine = sa.create_engine(
        sqlalchemy_url(settings), poolclass=sa.NullPool, connect_args={"options": "-c search_path=public"}
    )
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        # The dump and the list of files are of one moment: pg_dump reads in the snapshot of this transaction.
        snapshot = connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar_one()
        version = connection.execute(sa.text("SHOW server_version")).scalar_one()
        program = programs.find("pg_dump", server_major=int(version.split(".")[0]))
        say("Dumping the database ...")
        options = ["--format=custom", f"--snapshot={snapshot}", f"--file={draft / folders.DUMP}", "--no-owner"]
        programs.run(program, [*options, *(f"--schema={name}" for name in SCHEMAS)], address_of(connection, settings))
        stored = list(connection.scalars(STORED)) if with_artifacts else []
        by_status: dict[str, int] = dict(connection.execute(BY_STATUS).tuples().all())
        revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
        roles = list(connection.scalars(GRANTEES, {"schemas": SCHEMAS}))
        taken_at = connection.execute(sa.text("SELECT transaction_timestamp()")).scalar_one()
    missing = _copy_artifacts(Store.of(settings), stored, draft, say)
    manifest = Manifest(
        taken_at=taken_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        revision=revision,
        server_version=version,
        dump_sha256=folders.sha256_of(draft / folders.DUMP),
        tasks=by_status,
        artifacts=len(stored) - len(missing),
        artifacts_missing=missing,
        roles=roles,
    )
    manifest.write(draft)
    return manifest


def _copy_artifacts(store: Store, ids: list[UUID], draft: Path, say: Progress) -> list[str]:
    """Returns those whose content is gone: it was deleted meanwhile, or lost before. Raises TaskledgerError."""
    missing = []
    for number, artifact_id in enumerate(ids, 1):
        if number % 100 == 1:
            say(f"Copying artifacts: {number} of {len(ids)} ...")
        try:
            with store.open(artifact_id) as content:
                folders.keep(draft, artifact_id, content)
        except StoreAway as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            missing.append(str(artifact_id))
    if ids and len(missing) == len(ids):  # another store than the one that the services write to
        raise TaskledgerError(
            f"none of {len(ids)} artifacts is where ARTIFACTS_URL says: run this where the API's files are mounted, "
            "or leave them out with --without-artifacts"
        )
    return missing
