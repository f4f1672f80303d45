"""Procrastinate: jobs are rows of PostgreSQL, and so is what became of them."""

import os

import procrastinate
from counting import ran

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"]))


@app.task(name="noop", queue="bench")
def noop(text: str, began: str = "") -> str:
    """What is measured: nothing."""
    ran(began)
    return text
