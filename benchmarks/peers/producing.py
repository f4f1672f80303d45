"""The producer's side of a measurement: reads one JSON object a line, submits, answers with one."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


def produce(submit: Callable[[str], object], *, many: Callable[[int], object] | None = None, threads: int = 1) -> None:
    """Answer {"n", "pace", "bulk"}: submit n tasks, one every `pace` seconds if that is given, or `bulk` at a time."""
    pool = ThreadPoolExecutor(threads)

    def submit_rest(left: Iterator[int]) -> None:
        for _ in left:
            submit("")

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.time()
        if asked.get("pace"):
            for _ in range(asked["n"]):
                submit(str(time.time()))
                time.sleep(asked["pace"])
        elif asked.get("bulk") and many is not None:
            for start in range(0, asked["n"], asked["bulk"]):
                many(min(asked["bulk"], asked["n"] - start))
        else:
            # Each thread takes the next one by itself: a future for each call would cost as much as a call.
            left = iter(range(asked["n"]))
            for each in [pool.submit(submit_rest, left) for _ in range(threads)]:
                each.result()
        print(json.dumps({"began": began, "ended": time.time()}), flush=True)
