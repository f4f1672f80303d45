"""The commands' own words for statuses are those of the ledger."""

import subprocess
import sys

from app.commands import statuses
from app.models import FINISHED, Status


def test_they_are_those_of_the_ledger():
    assert tuple(Status) == statuses.ALL
    assert statuses.FINISHED == FINISHED
    assert set(statuses.COLOURS) <= set(Status)


def test_the_commands_for_tasks_start_without_the_database_library():
    code = "import sys, app.commands.tasks.group; sys.exit('sqlalchemy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
