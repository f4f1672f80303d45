"""What a type checker knows of payloads that `tledger types --python` has written."""

import subprocess
import sys

import pytest

from taskledger_sdk.payload_types import source
from tests.sdk.environment import SdkEnvironment
from tests.sdk.test_types import REPORTED, lines_of

pytestmark = pytest.mark.timeout(300)

LINE = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "from": {"type": "integer", "default": 1}},
    "required": ["sku"],
    "additionalProperties": False,
}
ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "due_on": {"type": ["string", "null"], "format": "date", "default": None},
        "size": {"enum": ["s", "l"], "default": "s"},
        "lines": {"type": "array", "items": LINE},
        "list": {"type": "array", "items": {}},
        "total": {"type": "string", "pattern": "^(?:0|[1-9][0-9]{0,17})$"},
        "more": {"$ref": "#"},
    },
    "required": ["id", "lines"],
    "additionalProperties": False,
}
RESIZE = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"mode": {"enum": [mode]}, "pixels": {"type": "integer"}},
            "required": ["mode", "pixels"],
            "additionalProperties": False,
        }
        for mode in ("crop", "fit")
    ]
}
PAYLOADS = {"count_words": {"type": "string"}, "acme.order": ORDER, "resize": RESIZE}
RIGHT = '''
"""What is right."""

import datetime as dt
from typing import assert_type
from uuid import uuid4

from taskledger_sdk import AsyncClient, Client, Submission
from taskledger_sdk.client import Task

from payloads import AcmeOrder, AcmeOrderLinesItem, CountWords, Resize, ResizeCrop, ResizeFit

order = AcmeOrder(id=uuid4(), lines=[AcmeOrderLinesItem(sku="a", from_=2)], due_on=dt.date(2026, 1, 31), size="l")
resize: Resize = ResizeCrop(pixels=3)


def submit(client: Client) -> None:
    assert_type(client.submit(CountWords("a b")), Task)
    assert_type(client.submit(order, priority="high", labels={"a": "b"}), Task)
    assert_type(client.submit("acme.order", order), Task)
    assert_type(client.submit("anything", {"a": 1}, priority="low"), Task)
    client.submit(resize)
    list(client.submit_many([order, CountWords("a"), Submission.of(order, {"priority": "low"}), Submission("a", 1)]))
    list(client.submit_many(ResizeFit(pixels=each) for each in range(3)))


async def submit_async(client: AsyncClient) -> None:
    assert_type(await client.submit(CountWords("a b")), Task)
    assert_type(await client.submit("anything", {"a": 1}), Task)
    async for each in client.submit_many([order, resize]):
        print(each.id)
'''
WRONG = '''
"""What is wrong, each line in one way."""

from uuid import uuid4

from taskledger_sdk import AsyncClient, Client

from payloads import AcmeOrder, AcmeOrderLinesItem, CountWords, Resize, ResizeCrop

line = AcmeOrderLinesItem(sku="a")
order = AcmeOrder(id=uuid4(), lines=[line])
AcmeOrder(id="no uuid", lines=[line])  # error: arg-type
AcmeOrder(id=uuid4())  # error: call-arg
AcmeOrder(id=uuid4(), lines=[line], sise="s")  # error: call-arg
AcmeOrder(id=uuid4(), lines=[line], size="m")  # error: arg-type
AcmeOrder(id=uuid4(), lines=[{"sku": "a"}])  # error: list-item
AcmeOrderLinesItem(sku=None)  # error: arg-type
CountWords(3)  # error: arg-type
ResizeCrop(mode="fit", pixels=3)  # error: arg-type
resize: Resize = order  # error: assignment
order.size = "l"  # error: misc


async def submit(client: Client, coroutines: AsyncClient) -> None:
    client.submit(line)  # error: call-overload
    client.submit("acme.order")  # error: call-overload
    client.submit(order, {"a": 1})  # error: call-overload
    client.submit(order, prio="high")  # error: call-overload
    client.submit_many([line])  # error: list-item
    await coroutines.submit(line)  # error: call-overload
'''


@pytest.fixture(scope="module")
def checked(environment: SdkEnvironment, tmp_path_factory) -> str:
    """What mypy says in strict mode, without warnings about what is not there to be seen."""
    folder = tmp_path_factory.mktemp("payloads")
    shown = [
        {"name": name, "schema_hash": "0", "summary": "", "description": "", "payload": payload}
        for name, payload in PAYLOADS.items()
    ]
    files = {"payloads.py": source(shown, "python"), "right.py": RIGHT, "wrong.py": WRONG}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--hide-error-context", "--cache-dir", "cache"]
    command = [*mypy, "--no-error-summary", "--python-executable", str(environment.python), *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_a_checker_finds_each_wrong_line_and_nothing_else(checked):
    reported = REPORTED.findall(checked)
    found = list(dict.fromkeys((int(line), code) for line, code in reported))

    assert found == list(lines_of(WRONG)), checked
    assert {line.split(":")[0] for line in checked.splitlines()} == {"wrong.py"}, checked
