"""What a type checker knows of an author's code: payloads, contexts, options."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.sdk.environment import SdkEnvironment

pytestmark = pytest.mark.timeout(300)

REPORTED = re.compile(r"^(?:[^:]+):(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)
EXPECTED = re.compile(r"# error: ([a-z-]+)$")
RIGHT = '''
"""What is right."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_type
from uuid import UUID

from marshmallow.validate import Length
from taskledger_sdk import RetryPolicy, TaskContext, ref, rule, schedule, step, task_type, testing, text, workflow


@dataclass(frozen=True, kw_only=True)
class Sum:
    numbers: list[int] = rule(Length(min=1))
    note: str | None = None


@task_type(
    "acme.total",
    retry=RetryPolicy(max_retries=2),
    timeout_seconds=30,
    settings=("ACME_URL",),
    ordering_key="payload.note",
)
def total(task: TaskContext, payload: Sum) -> int:
    assert_type(task.id, UUID)
    assert_type(task.attempt, int)
    assert_type(task.deadline, datetime)
    assert_type(task.settings, Mapping[str, str])
    assert_type(payload.numbers, list[int])
    assert_type(task.submit("acme.other", {"a": 1}, key="a", priority="low"), UUID)
    saved = task.artifacts.save("a.txt", "text/plain", b"a")
    assert_type(saved.size, int)
    return sum(payload.numbers)


@task_type("acme.wait")
async def wait(task: TaskContext, payload: str) -> str:
    return payload


plain: Callable[[TaskContext, Sum], int] = total
coroutine: Callable[[TaskContext, str], Awaitable[str]] = wait
task = testing.Attempt(settings={"ACME_URL": "https://acme.example"})
assert_type(total(task, Sum(numbers=[1])), int)
match testing.run(total, {"numbers": [1]}, task):
    case testing.Completed(result):
        assert_type(result, Any)
    case testing.Retrying(seconds, error):
        assert_type(seconds, float)
    case testing.Failed(reason):
        assert_type(reason, str)
schedule("acme.nightly", cron="0 2 * * *", task={"type": "acme.total", "payload": {"numbers": [1]}})
workflow("acme", description="", steps={"a": step("acme.total", {"numbers": ref("input.n"), "note": text("n")})})
'''
WRONG = '''
"""What is wrong, each line in one way."""

from dataclasses import dataclass

from taskledger_sdk import RetryPolicy, TaskContext, step, task_type, testing
from taskledger_sdk.errors import RetryLater


@dataclass(frozen=True, kw_only=True)
class Sum:
    numbers: list[int]


@task_type("acme.total", timeout=30)  # error: call-arg
def total(task: TaskContext, payload: Sum) -> int:
    task.progres(0.5)  # error: attr-defined
    task.progress("half")  # error: arg-type
    task.settings["ACME_URL"] + 1  # error: operator
    task.settings["ACME_URL"] = "x"  # error: index
    task.attempt = 2  # error: misc
    task.submit("acme.other")  # error: call-arg
    task.submit("acme.other", 1, prio="low")  # error: call-arg
    task.submit("acme.other", 1, priority="urgent")  # error: arg-type
    payload.nunbers  # error: attr-defined
    raise RetryLater("soon")  # error: arg-type


@task_type("acme.other", timeout_seconds="30")  # error: arg-type
def other(task: TaskContext, payload: Sum) -> int:
    return "3"  # error: return-value


task_type("acme.number")(3)  # error: type-var
RetryPolicy(retries=3)  # error: call-arg
step("acme.total")  # error: call-arg
other(testing.Attempt())  # error: call-arg
other(testing.Attempt(), {"numbers": [1]})  # error: arg-type
testing.Attempt(atempt=2)  # error: call-arg
testing.Attempt().stop(ValueError)  # error: arg-type
testing.run(other, 1).results  # error: union-attr
'''


@pytest.fixture(scope="module")
def checked(environment: SdkEnvironment, tmp_path_factory) -> dict[str, str]:
    """What mypy says in strict mode of a project, and of what is right and wrong beside it: once, as it is slow."""
    folder = tmp_path_factory.mktemp("typed")
    assert environment.run("tledger", "init", "acme-jobs", directory=folder).returncode == 0
    project = folder / "acme-jobs"
    (project / "right.py").write_text(RIGHT)
    (project / "wrong.py").write_text(WRONG)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--hide-error-context", "--cache-dir", "cache"]
    files = ["acme_jobs", "tests", "right.py", "wrong.py"]
    command = [*mypy, "--no-error-summary", "--python-executable", str(environment.python), *files]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1, done.stdout + done.stderr
    return {
        name: "".join(f"{line}\n" for line in done.stdout.splitlines() if line.startswith(name))
        for name in ("acme_jobs", "tests", "right.py", "wrong.py")
    } | {"everything": done.stdout}


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if found := EXPECTED.search(line):
            yield number, found[1]


@pytest.mark.parametrize("part", ["acme_jobs", "tests", "right.py"])
def test_a_checker_finds_nothing_in_what_is_right(checked, part):
    assert checked[part] == ""


def test_a_checker_finds_each_line_that_is_wrong_and_no_other(checked):
    reported = REPORTED.findall(checked["wrong.py"])
    found = list(dict.fromkeys((int(line), code) for line, code in reported))  # one may be told of each of a union

    assert found == list(lines_of(WRONG)), checked["wrong.py"]


def test_nothing_is_said_of_anything_else(checked):
    assert checked["everything"] == checked["wrong.py"]
