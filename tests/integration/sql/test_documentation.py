"""docs/reference/sql.md, docs/how-to/dbeaver.md and docs/reference/tables.md, held against the database."""

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from app.commands.er_diagram import PAGE, page
from app.embedded import postgres as embedded
from app.models import Status
from app.services.sql.roles import FUNCTIONS
from tests.support.factories import NOON, bring_to, make_task

pytestmark = pytest.mark.usefixtures("known_types")
DOCS = Path(__file__).parents[3] / "docs"
REFERENCE, HOW_TO = (DOCS / "reference" / "sql.md").read_text(), (DOCS / "how-to" / "dbeaver.md").read_text()
NOBODY = "00000000-0000-7000-8000-000000000000"
COLUMNS = (
    "SELECT attname, format_type(atttypid, NULL), col_description(attrelid, attnum) FROM pg_attribute "
    "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
)


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level = title.split()[0]
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def sql_in(text: str) -> list[str]:
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)


def test_the_reference_has_every_column_of_every_view(psql):
    views = psql("SELECT relname FROM pg_class WHERE relnamespace = 'taskledger'::regnamespace AND relkind = 'v'")
    names = {row["relname"] for row in views}
    assert set(re.findall(r"^### `(v_\w+)`$", REFERENCE, re.MULTILINE)) == names

    for name in names:
        documented = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", section(REFERENCE, f"### `{name}`"), re.MULTILINE)
        assert documented == [tuple(row.values()) for row in psql(COLUMNS, f"taskledger.{name}")], name


def test_the_reference_has_every_function_that_may_be_called(psql):
    rows = re.findall(r"^\| (`\w+\(.*?) \| (\w+) \|", section(REFERENCE, "## Functions"), re.MULTILINE)
    documented = {name: returns for calls, returns in rows for name in re.findall(r"`(\w+)\(", calls)}

    for function in FUNCTIONS:
        name = function.split("(")[0]
        returned = psql.one("SELECT format_type(prorettype, NULL) FROM pg_proc WHERE oid = %s::regprocedure",
                            f"taskledger.{function}")  # fmt: skip
        assert documented.pop(name) == returned.replace("timestamp with time zone", "timestamptz"), name
    assert documented == {}


def test_the_reference_has_every_argument_of_submit(psql):
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \|", section(REFERENCE, "### submit"), re.MULTILINE)
    [row] = psql("SELECT proargnames AS names, proargtypes::oid[]::regtype[]::text[] AS types FROM pg_proc "
                 "WHERE proname = 'submit'")  # fmt: skip
    types = [kind.strip('"').replace("timestamp with time zone", "timestamptz") for kind in row["types"]]

    assert documented == list(zip(row["names"], types, strict=True))


def test_the_example_of_submit_runs(psql, log_in, person):
    ana = log_in(person)
    ana("CREATE TEMP TABLE orders AS SELECT 17 AS id, 'new' AS status")

    for statement in sql_in(section(REFERENCE, "### submit")):
        ana(statement)

    assert psql.one("SELECT labels FROM tasks") == {"order": "17"}


QUESTIONS = sql_in(section(HOW_TO, "## Ten questions"))


def test_there_are_ten_questions_and_more_than_that_nobody_reads():
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize("number", range(10))
def test_each_question_is_answered_for_a_reader(log_in, person, session, psql, number):
    task = make_task(session, owner_id=person.id)
    bring_to(session, Status.COMPLETED, task.id)
    session.commit()

    answer = log_in(person, operates=False)(QUESTIONS[number].replace(NOBODY, str(task.id)))

    assert isinstance(answer, list)


def test_what_can_be_done_can_be_done(log_in, admin, session, psql):
    later = NOON + timedelta(days=36_500)
    columns = {"status": "SCHEDULED", "scheduled_at": later, "due_at": later, "dispatched_at": None}
    task = make_task(session, owner_id=admin.id, labels={"team": "billing"}, **columns)
    session.commit()
    [statements] = sql_in(section(HOW_TO, "## Do something"))

    log_in(admin)(statements)

    assert psql.one("SELECT status FROM tasks WHERE id = %s", str(task.id)) == "CANCELLED"
    assert psql.one("SELECT labels FROM tasks WHERE id <> %s", str(task.id)) == {"team": "billing"}


def test_one_owners_data_can_be_taken_along(psql, session, person, admin, database_url):
    ours, theirs = (make_task(session, owner_id=owner.id) for owner in (person, admin))
    session.commit()
    [copying] = sql_in(section(HOW_TO, "## Take one owner's data along"))
    psql(copying.replace(NOBODY, str(person.id)))

    command = [embedded.programs() / "pg_dump", "--schema=one_owner", "--no-owner", database_url]
    done = subprocess.run(command, capture_output=True, text=True)
    psql("DROP SCHEMA one_owner CASCADE")

    assert done.returncode == 0, done.stderr
    assert str(ours.id) in done.stdout
    assert str(theirs.id) not in done.stdout


def test_the_diagram_is_that_of_the_models():
    assert PAGE.read_text() == page(), "run: flask --app app er-diagram --write"
