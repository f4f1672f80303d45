"""The served API against its own OpenAPI document, with requests that schemathesis makes up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.people import Person, make_admin
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.programs import Api, service_environment

pytestmark = pytest.mark.long

SECONDS = (100, 150)  # the second run is for a machine that got too little done in the first
ENOUGH = 100
# A schedule may be named preview, so that OPTIONS of this path lists what a schedule takes, too: the document has that
# under another path.
ONE_PATH_OF_TWO = """
[[operations]]
include-path = "/api/v1/schedules/preview"
checks.allow_header_conformance.enabled = false
"""


@pytest.fixture
def api(databases: Databases):
    """An API that holds neither long polls nor claims; its broker refuses connections."""
    database_url = databases.create("contract")
    environment = service_environment(
        database_url=database_url, broker_url=NO_BROKER, max_waiters="0", max_waiting_claims="0", rate_limit_auth=""
    )
    with Api(environment) as api:
        yield api.url, make_admin(database_url)
    databases.drop(database_url)


@pytest.mark.timeout(400)
def test_no_request_meets_a_fault_or_an_answer_that_is_not_documented(api: tuple[str, Person], tmp_path: Path):
    api_url, admin = api
    tmp_path.joinpath("schemathesis.toml").write_text(ONE_PATH_OF_TWO)
    program = Path(sys.executable).with_name("st")
    command = [str(program), "run", f"{api_url}/openapi.json", "--no-color", "--seed=1", "--max-examples=15"]
    command += ["--generation-database=none", "--warnings=off"]
    command += ["--header", f"Authorization: {admin.headers['Authorization']}"]
    # Not ready is its right answer without broker and dispatcher; a stream has no end.
    command += ["--exclude-path=/health/ready", "--exclude-path=/api/v1/events/stream"]
    # Refusing what a schema cannot say (an end before the start, an outdated If-Match, a token of nobody) is right;
    # tests/integration/api/test_schemathesis.py asks whether submissions that fit are accepted.
    command += ["--exclude-checks=positive_data_acceptance"]

    for seconds in SECONDS:
        passed = _passed([*command, f"--max-time={seconds}"], tmp_path, timeout=seconds + 70)
        if passed > ENOUGH:
            break

    assert passed > ENOUGH


def _passed(command: list[str], directory: Path, *, timeout: int) -> int:
    """How many requests were made. Raises AssertionError unless all were answered as documented."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=directory, timeout=timeout)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    return int(re.search(r"(\d+) generated, \1 passed", done.stdout)[1])
