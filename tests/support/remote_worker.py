"""A program that works off a remote type until it is stopped: python -m tests.support.remote_worker TYPE NAME."""

import logging
import sys
import time
from typing import Any

from taskledger_sdk.client import Client, WorkTask


def run(task: WorkTask, payload: Any) -> dict[str, Any]:
    """Take as long as the payload says, and say who did it."""
    time.sleep(payload.get("seconds", 0))
    return {"number": payload["number"], "worker": sys.argv[2]}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    with Client() as client:
        client.work({sys.argv[1]: run}, concurrency=8, name=sys.argv[2])
