"""10,000 schedules due in the same second: how soon they have fired, and what that does to those who submit meanwhile.

    python -m benchmarks.schedules [--schedules 10000] [--seconds 12] [--json]

The same installation as benchmarks.latency. One client submits every 20 ms, at first with nothing else to do, then
while all the schedules fire, their hints are published and their tasks run on the same machine.
"""

import argparse
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from benchmarks.latency import Spread, installation
from tests.support.servers.stack import Stack

PACE_SECONDS = 0.02
LEAD_SECONDS = 3
MAKE = """
INSERT INTO schedules (id, run_at, time_zone, target, misfire, misfire_cap, overlap, jitter_seconds, enabled,
                       accounted_until, next_at, created_at, updated_at)
SELECT gen_random_uuid(), %(at)s, 'UTC', '{"task": {"type": "reverse_string", "payload": "hello"}}', 'run_once', 1,
       'allow', 0, true, now(), %(at)s, now(), now() FROM generate_series(1, %(count)s)
"""
FIRED = """
SELECT count(*) AS fired, extract(epoch FROM max(recorded_at) - %(at)s)::float8 AS seconds
FROM schedule_slots WHERE state = 'fired'
"""
DONE = "SELECT count(*) AS left_over FROM tasks WHERE finished_at IS NULL"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="10,000 schedules at once, and submissions beside them")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=12, help="how long submissions are measured, each time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with installation() as stack:
        submit_for(stack, 2)  # warm up
        without = submit_for(stack, options.seconds)
        due = datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS)
        stack.rows(MAKE, {"at": due, "count": options.schedules})
        with_schedules = submit_for(stack, options.seconds + LEAD_SECONDS)
        while (fired := stack.rows(FIRED, {"at": due})[0])["fired"] < options.schedules:
            time.sleep(0.2)
        while stack.rows(DONE)[0]["left_over"]:
            time.sleep(0.2)
        finished = (datetime.now(UTC) - due).total_seconds()
    if options.json:
        spreads = {"without": asdict(without), "with": asdict(with_schedules)}
        print(json.dumps({**fired, "all_completed_seconds": finished, "submit_milliseconds": spreads}))
        return
    print(f"{fired['fired']} of {options.schedules} schedules fired; the last {fired['seconds']:.1f} s after its slot")
    print(f"all of their tasks COMPLETED {finished:.1f} s after the slot")
    print("submit to 201, milliseconds:")
    for name, spread in (("without schedules", without), ("while they fire", with_schedules)):
        print(f"  {name:<24} median {spread.median:6.1f}   p99 {spread.p99:6.1f}   worst {spread.worst:6.1f}")


def submit_for(stack: Stack, seconds: float) -> Spread:
    """Submit one task after the other at an even pace."""
    took, end = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        stack.submit("uppercase_text", "hello world")
        took.append(time.perf_counter() - began)
        time.sleep(max(0.0, PACE_SECONDS - took[-1]))
    return Spread.of(took)


if __name__ == "__main__":
    main()
