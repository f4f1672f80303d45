"""Procrastinate: jobs are rows of PostgreSQL, and so is what became of them."""

import os
import sys

import procrastinate
from counting import ran

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"]))


@app.task(name="noop", queue="bench")
def noop(text: str, began: str = "") -> str:
    """What is measured: nothing."""
    ran(began)
    return text


if __name__ == "__main__":
    from producing import produce

    sync = app.with_connector(procrastinate.SyncPsycopgConnector(conninfo=os.environ["BENCH_DATABASE"]))
    with sync.open():
        if sys.argv[1:] == ["schema"]:
            sync.schema_manager.apply_schema()
        else:
            produce(
                lambda began: noop.defer(text="hello world", began=began),
                many=lambda n: noop.batch_defer(*[{"text": "hello world"} for _ in range(n)]),
            )
