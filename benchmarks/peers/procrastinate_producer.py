"""Procrastinate's other side: makes its tables, or submits."""

import os
import sys

import procrastinate
from procrastinate_tasks import app, noop
from producing import produce

connector = procrastinate.SyncPsycopgConnector(conninfo=os.environ["BENCH_DATABASE"])
with app.replace_connector(connector), app.open():
    if sys.argv[1:] == ["schema"]:
        app.schema_manager.apply_schema()
    else:
        produce(
            lambda began: noop.defer(text="hello world", began=began),
            many=lambda n: noop.batch_defer(*[{"text": "hello world"} for _ in range(n)]),
        )
