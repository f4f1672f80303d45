"""data_processing by a worker's own code, on real files: what each operation makes of them, and what is refused."""

import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from uuid import UUID

import pytest

from app.database import in_transaction
from app.services import artifacts
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import get_type
from tasks.tables import folders
from tests.support.fake_task import FakeTask
from tests.support.servers.attempts import run_task

ORDERS = "00000000-0000-7000-8000-000000000001"
ROWS = "id,region,amount,day\n1,N,10,2026-01-01\n2,S,60.5,2026-01-02\n3,N,70,2026-01-03\n4,,5,\n"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data directory with one small file; whatever a test adds is there, too."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "rows.csv").write_text(ROWS)
    return tmp_path


def content(row) -> str:
    with artifacts.store().open(UUID(row.result["artifact_id"])) as stream:
        return stream.read().decode()


def done(session, **payload):
    row = run_task(session, "data_processing", {"dataset": "rows.csv", **payload})
    assert row.status == "COMPLETED", row.error
    return row


def ids(row) -> list[str]:
    return [line["id"] for line in csv.DictReader(content(row).splitlines())]


@pytest.mark.parametrize(
    ("where", "match", "found"),
    [
        ([{"column": "amount", "op": "gt", "value": 9.5}], "all", "123"),
        ([{"column": "amount", "op": "le", "value": 10}], "all", "14"),
        ([{"column": "region", "op": "eq", "value": "N"}, {"column": "amount", "op": "lt", "value": 50}], "all", "1"),
        ([{"column": "region", "op": "eq", "value": "S"}, {"column": "amount", "op": "lt", "value": 9}], "any", "24"),
        ([{"column": "region", "op": "in", "value": ["S", "X"]}], "all", "2"),
        ([{"column": "region", "op": "not_in", "value": ["S", "X"]}], "all", "13"),
        ([{"column": "region", "op": "null"}], "all", "4"),
        ([{"column": "region", "op": "not_null"}], "all", "123"),
        ([{"column": "day", "op": "ge", "value": "2026-01-02"}], "all", "23"),
        ([{"column": "amount", "op": "contains", "value": "0.5"}], "all", "2"),
        ([{"column": "region", "op": "starts_with", "value": "N"}], "all", "13"),
        ([{"column": "region", "op": "eq", "value": "N' OR 1=1 --"}], "all", ""),
    ],
)
def test_filter_keeps_the_rows_for_which_the_conditions_hold(session, data, where, match, found):
    assert ids(done(session, operation="filter", where=where, match=match)) == list(found)


def test_select_keeps_columns_in_the_order_asked_for(session, data):
    row = done(session, operation="select", columns=["region", "id"])

    assert content(row).splitlines()[:2] == ["region,id", "N,1"]
    assert row.result["rows"] == 4
    assert row.result["preview"][0] == {"region": "N", "id": "1"}


def test_derive_adds_columns_and_later_ones_use_earlier_ones(session, data):
    columns = [
        {"name": "double", "function": "multiply", "arguments": [{"column": "amount"}, {"value": 2}]},
        {"name": "label", "function": "concat", "arguments": [{"column": "region"}, {"value": "-"}, {"column": "id"}]},
        {"name": "double", "function": "add", "arguments": [{"column": "double"}, {"value": 1}]},
        {"name": "region", "function": "coalesce", "arguments": [{"column": "region"}, {"value": "none"}]},
        {"name": "month", "function": "month", "arguments": [{"column": "day"}]},
    ]

    row = done(session, operation="derive", columns=columns, output="jsonl")

    made = [json.loads(line) for line in content(row).splitlines()]
    assert made[0] == {
        "id": "1", "region": "N", "amount": "10", "day": "2026-01-01", "double": 21.0, "label": "N-1", "month": 1,
    }  # fmt: skip
    assert made[3]["region"] == "none"


def test_aggregate_makes_one_row_a_group(session, data):
    measures = [
        {"name": "n", "function": "count"},
        {"name": "sum", "function": "sum", "column": "amount"},
        {"name": "kinds", "function": "count_distinct", "column": "amount"},
    ]

    row = done(session, operation="aggregate", group_by=["region"], measures=measures)

    assert content(row) == "region,n,sum,kinds\nN,2,80.0,2\nS,1,60.5,1\n,1,5.0,1\n"


def test_aggregate_without_groups_makes_one_row(session, data):
    row = done(session, operation="aggregate", measures=[{"name": "n", "function": "count"}])

    assert content(row) == "n\n4\n"


@pytest.mark.parametrize(
    ("how", "lines"),
    [
        ("inner", ["1,N,5", "3,N,5"]),
        ("left", ["1,N,5", "2,S,", "3,N,5", "4,,"]),
        ("outer", [",W,6", "1,N,5", "2,S,", "3,N,5", "4,,"]),
    ],
)
def test_join_brings_rows_together(session, data, how, lines):
    (data / "rows.csv").write_text("id,region\n1,N\n2,S\n3,N\n4,\n")
    (data / "more.csv").write_text("region,id\nN,5\nW,6\n")

    row = done(session, operation="join", other="more.csv", on=["region"], how=how)

    head, *rest = content(row).splitlines()
    assert head == "id,region,id_other"
    assert sorted(rest) == lines


def test_sort_puts_rows_in_order_and_keeps_the_first(session, data):
    by = [{"column": "region"}, {"column": "amount", "descending": True}]

    assert ids(done(session, operation="sort", by=by)) == ["3", "1", "2", "4"]
    assert ids(done(session, operation="sort", by=by, limit=2)) == ["3", "1"]


def test_deduplicate_keeps_the_first_row_of_those_that_agree(session, data):
    assert ids(done(session, operation="deduplicate", columns=["region"])) == ["1", "2", "4"]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_one_task_writes_another_reads(session, data, form):
    written = done(session, operation="sort", by=[{"column": "id", "descending": True}], output=form)

    row = run_task(
        session,
        "data_processing",
        {"dataset": written.result["artifact_id"], "operation": "select", "columns": ["id"]},
    )

    assert ids(row) == ["4", "3", "2", "1"]


@pytest.mark.parametrize("example", get_type("data_processing").examples)
def test_the_examples_run_as_they_stand(session, example):
    row = run_task(session, "data_processing", example)

    assert row.status == "COMPLETED", row.error
    assert row.result["rows"] > 0


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"operation": "select", "columns": ["nope"]}, "nope"),
        ({"operation": "deduplicate", "columns": ["nope"]}, "nope"),
        ({"operation": "filter", "where": [{"column": "day", "op": "lt", "value": "zzz"}]}, "zzz"),
        ({"operation": "select", "columns": ["id"], "dataset": "absent.csv"}, "no dataset absent.csv"),
        ({"operation": "select", "columns": ["id"], "dataset": "link.csv"}, "no dataset link.csv"),
        ({"operation": "select", "columns": ["id"], "dataset": "notes.txt"}, "no dataset notes.txt"),
        ({"operation": "select", "columns": ["id"], "dataset": "018f3c5e-7d2a-7000-8000-0123456789ab"}, "no artifact"),
    ],
)
def test_what_cannot_work_fails_at_once_without_telling_paths(session, data, payload, message):
    (data / "link.csv").symlink_to("/etc/passwd")
    (data / "notes.txt").write_text("x")

    row = run_task(session, "data_processing", {"dataset": "rows.csv", **payload})

    assert row.status == "FAILED"
    assert message in row.error["message"]
    assert str(data) not in row.error["message"]


@pytest.mark.parametrize("name", ["../rows.csv", "/etc/passwd", "a/b.csv", "*.csv", "", ".hidden", "http://x/y.csv"])
def test_a_path_is_no_dataset(name):
    with pytest.raises(PayloadRefused):
        get_type("data_processing").payload.load({"dataset": name, "operation": "select", "columns": ["id"]})


def test_a_drill_fails_and_is_tried_again(session, data):
    row = run_task(
        session,
        "data_processing",
        {"dataset": "rows.csv", "operation": "select", "columns": ["id"], "forceFailure": True},
    )

    assert (row.status, row.error["type"]) == ("RETRYING", "DrillError")


def test_the_engine_opens_nothing_but_its_files(data):
    import duckdb

    from tasks.tables import Source, open_engine

    (data / "secret.csv").write_text("a\n1\n")
    with open_engine([Source(path=data / "rows.csv", format="csv", name="rows.csv")]) as engine:
        for forbidden in (
            lambda: engine.connection.read_csv(str(data / "secret.csv")).fetchall(),
            lambda: engine.connection.read_csv("/etc/passwd").fetchall(),
            lambda: engine.connection.read_csv("http://127.0.0.1:9/x.csv").fetchall(),
            lambda: engine.connection.execute("INSTALL httpfs"),
            lambda: engine.connection.execute("COPY (SELECT 1) TO '/tmp/taskledger-escape.csv'"),
            lambda: engine.connection.execute("SET enable_external_access = true"),
            lambda: engine.connection.execute("SET memory_limit = '10GB'"),
        ):
            with pytest.raises(duckdb.Error):
                forbidden()


STOPPED = """
import json, os, signal, sys, threading, time
from pathlib import Path
import tasks
from taskledger_sdk import errors
from taskledger_sdk.registry import get_type
from tests.support.fake_task import FakeTask

def threads():
    return len(os.listdir("/proc/self/task"))

def on_signal(*_):
    raise getattr(errors, sys.argv[2])("asked for")

signal.signal(signal.SIGUSR1, on_signal)
task = FakeTask(settings={"DATA_DIR": sys.argv[1], "ARTIFACT_MAX_BYTES": sys.argv[3]})
kind = get_type("data_processing")
payload = kind.payload.load({"dataset": "same.csv", "operation": "join", "other": "same.csv", "on": ["k"]})
import duckdb  # what it opens by being imported is none of the task's
before, files = threads(), set(os.listdir("/proc/self/fd"))
if float(sys.argv[4]):
    signal.setitimer(signal.ITIMER_REAL, float(sys.argv[4]))
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
started = time.monotonic()
try:
    kind.handler(task, payload)
    raised = None
except BaseException as error:
    raised = (type(error).__name__, str(error))
print(json.dumps({
    "raised": raised, "seconds": time.monotonic() - started, "threads": threads() - before,
    "files": sorted(set(os.listdir("/proc/self/fd")) - files), "left": os.listdir(os.environ["TMPDIR"]),
}))
"""


def stopped(data, error="TimeLimitReached", most_bytes=10**12, after=0.0):
    """A self-join of 860 kB, each row with each: 30 GB, if nothing ends it."""
    (data / "same.csv").write_text("id,k,text\n" + "".join(f"{n},1,abcdefghijkl\n" for n in range(42_000)))
    folder = data / "tmp"
    folder.mkdir()
    command = [sys.executable, "-c", STOPPED, str(data), error, str(most_bytes), str(after)]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return json.loads(
        subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, env=environment).stdout
    )


@pytest.mark.parametrize("error", ["TimeLimitReached", "TaskCancelled", "ShuttingDown"])
def test_what_stops_the_work_is_what_is_raised_and_nothing_is_left(data, error):
    told = stopped(data, error, after=1.0)

    assert told["raised"] == [error, "asked for"]
    assert told["seconds"] < 20
    assert (told["threads"], told["files"], told["left"]) == (0, [], [])


def test_a_result_that_grows_beyond_what_can_be_kept_ends_the_work(data):
    told = stopped(data, most_bytes=30_000_000)

    assert told["raised"][0] == "PermanentError"
    assert "larger than 30,000,000 bytes (ARTIFACT_MAX_BYTES)" in told["raised"][1]
    assert told["seconds"] < 20
    assert (told["threads"], told["files"], told["left"]) == (0, [], [])


def test_a_result_too_large_to_keep_fails_for_good(session, data, monkeypatch):
    monkeypatch.setenv("ARTIFACT_MAX_BYTES", "1000")
    (data / "many.csv").write_text("k,text\n" + "1,some text\n" * 100)

    row = run_task(
        session, "data_processing", {"dataset": "many.csv", "operation": "join", "other": "many.csv", "on": ["k"]}
    )

    assert (row.status, row.error["type"]) == ("FAILED", "PermanentError")
    assert "larger than 1,000 bytes" in row.error["message"]


def test_work_is_interrupted_between_two_looks():
    from duckdb import ColumnExpression, FunctionExpression

    from tasks.tables import open_engine

    class Impatient:
        """Cancelled as soon as it reports progress."""

        def progress(self, fraction, message=""):
            raise KeyboardInterrupt

    before = threading.active_count()
    started = time.monotonic()
    with open_engine([]) as engine:
        numbers = engine.connection.table_function("range", [10_000_000_000])
        total = numbers.aggregate([FunctionExpression("sum", ColumnExpression("range"))])
        with pytest.raises(KeyboardInterrupt):
            engine.run(Impatient(), total.fetchall, start=0, end=1)

    assert time.monotonic() - started < 5
    assert threading.active_count() == before


def test_a_disk_that_is_full_is_no_fault_of_the_task():
    import duckdb

    from taskledger_sdk.errors import PermanentError
    from tasks.tables import open_engine

    def full():
        raise duckdb.IOException("Could not write file: No space left on device")

    with open_engine([]) as engine, pytest.raises(Exception, match="disk") as caught:
        engine.run(FakeTask(), full, start=0, end=1)

    assert not isinstance(caught.value, PermanentError)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "from tasks.tables import folders\n"
        "import os, signal\n"
        "with folders.temporary() as folder:\n"
        "    (folder / 'big').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, timeout=60, check=False)
    [left] = tmp_path.iterdir()

    with folders.temporary() as ours:
        assert not left.exists()
        folders.sweep()
        assert ours.exists()
    assert list(tmp_path.iterdir()) == []


MEASURED = """
import sys, time
from pathlib import Path
import tasks
from taskledger_sdk.registry import get_type
from tests.support.fake_task import FakeTask

def peak_megabytes():  # of this program; ru_maxrss would count what the process was before it became this one
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

task = FakeTask(settings={"DATA_DIR": sys.argv[1]})
kind = get_type("data_processing")
payload = kind.payload.load({
    "dataset": "million.csv", "operation": "aggregate", "group_by": ["region"],
    "measures": [{"name": "n", "function": "count"}, {"name": "sum", "function": "sum", "column": "amount"}],
})
started = time.process_time()
result = kind.handler(task, payload)
seconds = time.process_time() - started
print(seconds, peak_megabytes(), result["rows"])
"""


def test_a_million_rows_are_grouped_in_3_seconds_and_300_megabytes(data):
    """In processor time of a process of its own, import of the engine included; others may use the machine, too."""
    with (data / "million.csv").open("w") as file:
        file.write("id,region,amount,day\n")
        file.writelines(f"{n},region-{n % 50},{n % 977}.25,2026-01-{n % 28 + 1:02}\n" for n in range(1_000_000))

    def measure():
        command = [sys.executable, "-c", MEASURED, str(data)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
        return tuple(map(float, told.split()))

    seconds, megabytes, rows = min(measure() for _ in range(3))

    assert (rows, seconds < 2, megabytes < 300) == (50, True, True), (seconds, megabytes)


def test_the_file_of_a_task_belongs_to_it(session, data):
    row = done(session, operation="select", columns=["id"])

    record = in_transaction(lambda session: artifacts.read(session, UUID(row.result["artifact_id"]), owner=None))

    assert (record.task_id, record.name) == (row.id, "select.csv")
