"""The TypeScript client: its own tests, its types, every method against the real service, the programs of its page."""

import json
import re
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from taskledger_sdk.payload_types import source
from tests.acceptance.nodejs import check_node, run
from tests.browser import chromium
from tests.conftest import empty_broker_url, unavailable
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack
from tests.unit.documents import blocks
from tests.unit.tasks.test_payload_types import EVERYTHING, SHOWN

pytestmark = [pytest.mark.long, pytest.mark.typescript, pytest.mark.timeout(600)]

SOURCE = ROOT / "sdk" / "typescript"
DEFINITION = {"steps": {"shout": {"type": "uppercase_text", "payload": {"$from": "input.text"}}}}
IN_A_PAGE = """async ([url, key]) => {
  const { Client, Invalid } = await import("/index.js");
  const client = new Client({ url, key });
  const tasks = await Promise.all(Array.from({ length: 20 }, (_, n) => client.submit("reverse_string", `n ${n}`)));
  const done = await client.wait(tasks[7], { timeoutMs: 60_000 });
  const seen = [];
  for await (const event of client.stream({ task: done, after: "0" })) {
    seen.push(event.status);
    if (event.status === "COMPLETED") break;
  }
  const results = [];
  const many = [{ type: "reverse_string", payload: "x" }, { type: "reverse_string", payload: 5 }];
  for await (const { error } of client.submitMany(many)) results.push(error instanceof Invalid);
  const later = await client.submit("reverse_string", "x", { scheduledAt: new Date(Date.now() + 3_600_000) });
  const unlessChanged = await client.get(later);
  const { priority } = await client.change(later, { priority: "high" }, { unlessChanged });
  const told = [];
  const file = await client.artifacts.upload(new File(["a,b"], "a.csv"), { progress: (...all) => told.push(all) });
  const content = new TextDecoder().decode(await client.artifacts.download(file));
  return { result: done.result, seen, results, etag: unlessChanged.etag !== null, priority, told, content };
}"""
PROGRAMS = [*blocks("typescript"), *blocks("typescript", [SOURCE / "README.md"])]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The package with what it is built with, built; the checkout stays as it is."""
    check_node()
    folder = tmp_path_factory.mktemp("typescript") / "package"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    run(["npm", "ci", "--no-audit", "--no-fund"], folder)
    run(["npm", "run", "build"], folder)
    return folder


@pytest.fixture(scope="module")
def pages(package) -> Iterator[str]:
    """An origin whose pages can import the client as it is published."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(package / "dist" / "src"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *said: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def service(databases, pages, request, tmp_path_factory) -> Iterator[Mapping[str, str]]:
    """The environment of programs that talk to it."""
    database_url = databases.create(f"typescript_{uuid4().hex[:8]}")
    files = f"file://{tmp_path_factory.mktemp('files')}"
    broker_url = empty_broker_url(request)
    with Stack(database_url=database_url, broker_url=broker_url, artifacts_url=files, cors_origins=pages) as stack:
        answer = stack.post("/workflows", {"name": "typescript", "definition": DEFINITION})
        assert answer.status_code == 201
        key = str(stack.http.headers["Authorization"]).removeprefix("Bearer ")
        yield {"TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key}
    databases.drop(database_url)


def test_its_own_tests_pass(package):
    out = run(["npm", "test"], package)

    assert re.search(r"^(#|ℹ) pass [1-9]", out, re.MULTILINE)


def test_its_types_are_those_of_the_document(package, tmp_path):
    """Run `npm run generate` in sdk/typescript after a change of schemas."""
    environment = {"PYTHON": sys.executable, "CHECKOUT": str(ROOT)}

    run(["sh", "tools/generate.sh", str(tmp_path / "openapi.ts")], package, environment)

    assert (tmp_path / "openapi.ts").read_text() == (SOURCE / "src" / "openapi.ts").read_text()


def test_what_is_published_is_the_client_and_no_test(package):
    [packed] = json.loads(run(["npm", "pack", "--dry-run", "--json"], package))
    paths = {each["path"] for each in packed["files"]}

    assert {"dist/src/index.js", "dist/src/index.d.ts", "README.md", "LICENSE"} <= paths
    assert [path for path in paths if "test" in path or "tools" in path] == []


def test_the_compiler_accepts_the_interfaces_of_tledger_types(package, tmp_path):
    (tmp_path / "payloads.ts").write_text(source([*SHOWN, EVERYTHING], "typescript"), encoding="utf-8")
    (tmp_path / "right.ts").write_text(
        'import type { TaskPayloads } from "./payloads";\n'
        'export const email: TaskPayloads["send_email"] = { to: "ann@example.org", subject: "a", text: "b" };\n'
        "// @ts-expect-error The text is no number.\n"
        'export const wrong: TaskPayloads["send_email"] = { to: "ann@example.org", subject: 1, text: "b" };\n'
    )

    run([str(package / "node_modules" / ".bin" / "tsc"), "--strict", "--noEmit", "right.ts"], tmp_path)


def test_every_method(package, service):
    out = run(["node", "--test", "dist/tests/service/every-method.test.js"], package, service)

    assert re.search(r"^(#|ℹ) pass [1-9]", out, re.MULTILINE)


def test_it_works_in_a_page_of_another_origin(pages, service):
    if not Path(chromium.PATH).exists():
        unavailable(f"Chromium: {chromium.PATH} is missing (on Debian: apt-get install chromium)")
    with chromium.chromium() as browser:
        page = browser.new_page()
        page.goto(f"{pages}/index.js")
        found = page.evaluate(IN_A_PAGE, [service["TASKLEDGER_URL"], service["TASKLEDGER_API_KEY"]])

    assert found == {
        "result": "7 n",
        "seen": ["PENDING", "PROCESSING", "COMPLETED"],
        "results": [False, True],
        "etag": True,
        "priority": "high",
        "told": [[3, 3]],
        "content": "a,b",
    }


@pytest.fixture(scope="module")
def programs(package) -> Path:
    """Those of the page, compiled as strictly as the client itself."""
    folder = package / "programs"
    folder.mkdir()
    for program in PROGRAMS:
        (folder / f"{program.page.parent.name}-{program.page.stem}-{program.number}.ts").write_text(
            program.text, encoding="utf-8"
        )
    options = {"rootDir": ".", "outDir": "../dist/programs"}
    settings = {"extends": "../tsconfig.json", "compilerOptions": options, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    run(["npx", "tsc", "-p", "programs"], package)
    return package / "dist" / "programs"


# A worker ends by a signal only; test_every_method has one.
@pytest.mark.parametrize("program", [each for each in PROGRAMS if ".work(" not in each.text], ids=str)
def test_programs_of_the_page_run(program, programs, service):
    out = run(["node", f"{program.page.parent.name}-{program.page.stem}-{program.number}.js"], programs, service)

    assert out or "assert" in program.text
