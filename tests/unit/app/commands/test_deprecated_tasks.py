"""`flask --app app tasks` goes on for one release, and says on stderr what takes its place."""

import pytest
from click.testing import CliRunner

from app.commands.tasks.group import tasks
from tests.support.servers.waiting import free_port


@pytest.mark.parametrize(("options", "is_said"), [([], True), (["--json"], False)])
def test_people_are_told_of_tledger_and_programs_are_not_disturbed(options, is_said):
    done = CliRunner().invoke(tasks, ["--url", f"http://127.0.0.1:{free_port()}", "cancel", *options, "0" * 32])

    assert ("use `tledger tasks`" in done.stderr) is is_said
    assert "tledger" not in done.stdout
