"""Throughput against peers: all in one run, in turn, several rounds; medians, ratios, a table, JSON and a plot.

    python -m benchmarks.compare [--rounds 5] [--only WORDS] [--against CHECKOUT] [--out var/bench]

A round measures each system once, on servers that all share and with nothing else running; so what the machine does
(it may be shared, and change its speed) happens to all of them alike. Each other round goes backwards. Ratios are of
medians.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.earlier import Earlier, EarlierInBulk, of_checkout
from benchmarks.peers import ALL, HOME, BareCelery, install
from benchmarks.plot import bars
from benchmarks.servers import Servers
from benchmarks.systems import System
from benchmarks.taskledger import Ours, OursInBulk, OursThroughAsyncClient, OursThroughClient

WARM_UP = 0.15  # of the tasks that are measured
PACE_SECONDS, SLOW_TASKS = 0.05, 100

NAIVE = "naive Flask + Celery + SQLAlchemy"

CONFIRMED = "Celery, confirms"

# What is wanted: work, ours, the peer, the least ratio of tasks a second, the aim.
GOALS = (
    ("single POSTs against naive", Ours.name, NAIVE, 5.0, 7.0),
    ("single POSTs against Celery with confirms", Ours.name, CONFIRMED, 1.0, 1.5),
    ("client, threads, against Celery with confirms", OursThroughClient.name, CONFIRMED, 3.0, 4.0),
    ("client, threads, against naive", OursThroughClient.name, NAIVE, 10.0, 15.0),
    ("client, coroutines, against Celery with confirms", OursThroughAsyncClient.name, CONFIRMED, 3.0, 4.0),
    ("client, coroutines, against naive", OursThroughAsyncClient.name, NAIVE, 10.0, 15.0),
    ("bulk against naive", OursInBulk.name, NAIVE, 45.0, 90.0),
    ("bulk against Celery without confirms", OursInBulk.name, BareCelery.name, 4.0, 8.0),
    ("bulk against BullMQ", OursInBulk.name, "BullMQ, 500 at a time", 1.0, 2.0),
    ("bulk against pg-boss", OursInBulk.name, "pg-boss, 500 at a time", 1.3, 2.0),
    ("bulk against graphile-worker", OursInBulk.name, "graphile-worker, 500 at a time", 0.45, 0.8),
    ("single POSTs against the earlier version", Ours.name, Earlier.name, 0.97, 1.0),
    ("bulk against the earlier version", OursInBulk.name, EarlierInBulk.name, 0.97, 1.0),
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One round of one system."""

    e2e: float
    """Tasks a second, from the first submission to the last result."""
    accepted: float
    """Tasks a second, while they were submitted."""
    cpu_us: float
    """Processor time of all its processes and of the servers, in microseconds a task; without the load generator."""
    start_p50_ms: float | None = None
    start_p99_ms: float | None = None
    child_mb: float | None = None
    child_own_mb: float | None = None


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Throughput against peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="systems whose name contains one of these words, comma-separated")
    parser.add_argument("--scale", type=float, default=1.0, help="of how many tasks a measurement runs")
    parser.add_argument("--against", type=Path, help="a checkout of another commit, with its .venv: measured beside")
    parser.add_argument("--out", type=Path, default=HOME)
    options = parser.parse_args()
    words = [word for word in options.only.lower().split(",") if word]
    chosen = [each for each in ALL if not words or any(word in each.name.lower() for word in words)]
    chosen += of_checkout(options.against) if options.against else []
    install()
    results: dict[str, list[Measured]] = defaultdict(list)
    with Servers() as servers:
        for number in range(1, options.rounds + 1):
            load = os.getloadavg()[0]
            print(f"round {number} of {options.rounds}, load average {load:.2f}", flush=True)
            for system in chosen if number % 2 else reversed(chosen):  # no system always comes after the same one
                try:
                    measured = measure(system, servers, scale=options.scale)
                except AssertionError as error:
                    print(f"  {system.name:<36} failed: {str(error)[:300]}", flush=True)
                    continue
                results[system.name].append(measured)
                print(f"  {system.name:<36} {measured.e2e:9.0f} tasks/s  {measured.cpu_us:7.0f} us", flush=True)
    report = summarize(results, chosen, options.rounds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "compare.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "compare.svg").write_text(
        bars([(each["name"], each["e2e"]) for each in report["systems"]], title="Tasks a second, end to end")
    )
    print(table(report))
    print(f"\nWritten: {options.out}/compare.json and compare.svg")


def measure(kind: type[System], servers: Servers, *, scale: float) -> Measured:
    """One round of one system, from starting it to ending it."""
    with kind(servers) as system:
        count = _whole(kind.tasks * scale, kind.bulk)
        memory = system.idle_child()
        system.measure(_whole(count * WARM_UP, kind.bulk))
        before = system.cpu_seconds()
        run = system.measure(count)
        spent = system.cpu_seconds() - before
        p50 = p99 = None
        if not kind.bulk:
            time.sleep(0.3)
            system.submit_slowly(SLOW_TASKS, PACE_SECONDS)
            time.sleep(0.5)
            ordered = sorted(1000 * each for each in system.start_latencies())
            p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99) - 1]
        return Measured(
            e2e=count / (run.ended - run.began),
            accepted=count / (run.submitted - run.began),
            cpu_us=1e6 * spent / count,
            start_p50_ms=p50,
            start_p99_ms=p99,
            child_mb=memory.resident / 2**20,
            child_own_mb=memory.own / 2**20,
        )


def _whole(count: float, bulk: int) -> int:
    return max(1, round(count / bulk)) * bulk if bulk else max(1, round(count))


def summarize(results: dict[str, list[Measured]], chosen: list[type[System]], rounds: int) -> dict[str, Any]:
    """Medians of each system, and what follows for the goals."""
    systems = []
    for kind in chosen:
        runs = results.get(kind.name)
        if runs:
            systems.append(
                {
                    "name": kind.name,
                    "keeps": kind.keeps,
                    "runs": len(runs),
                    "e2e": round(statistics.median(run.e2e for run in runs), 1),
                    "e2e_least": round(min(run.e2e for run in runs), 1),
                    "e2e_most": round(max(run.e2e for run in runs), 1),
                    **{
                        name: _median(runs, name)
                        for name in ("accepted", "cpu_us", "start_p50_ms", "start_p99_ms", "child_mb", "child_own_mb")
                    },
                }
            )
    by_name = {each["name"]: each for each in systems}
    goals = [
        {
            "work": work,
            "ratio": round(by_name[ours]["e2e"] / by_name[peer]["e2e"], 2),
            "least": least,
            "aim": aim,
        }
        for work, ours, peer, least, aim in GOALS
        if ours in by_name and peer in by_name
    ]
    if Ours.name in by_name and BareCelery.name in by_name:
        ours, bare = by_name[Ours.name], by_name[BareCelery.name]
        more = round(ours["child_mb"] - bare["child_mb"], 1)
        goals.append({"work": "MB of an idle worker child above bare Celery's", "ratio": more, "most": 35, "aim": 15})
        slower = round(ours["start_p50_ms"] / bare["start_p50_ms"], 2)
        goals.append({"work": "POST to handler, idle, p50, to bare Celery's", "ratio": slower, "most": 2, "aim": 1.3})
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_average": os.getloadavg(),
        "rounds": rounds,
        "systems": systems,
        "goals": goals,
    }


def _median(runs: list[Measured], name: str) -> float | None:
    values = [value for run in runs if (value := getattr(run, name)) is not None]
    return round(statistics.median(values), 1) if values else None


def table(report: dict[str, Any]) -> str:
    """The report in Markdown."""
    load = f"load average {report['load_average'][0]:.2f}"
    lines = [
        f"\n{report['at']}, {report['machine']}, {load}, medians of {report['rounds']}\n",
        "| system | e2e tasks/s (least-most) | accepted/s | CPU µs/task | start p50/p99 ms | child MB | what is kept |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in sorted(report["systems"], key=lambda each: -each["e2e"]):
        child = f"{each['child_mb']:.0f}, own {each['child_own_mb']:.0f}"
        start = "-" if each["start_p50_ms"] is None else f"{each['start_p50_ms']:.1f}/{each['start_p99_ms']:.1f}"
        lines.append(
            f"| {each['name']} | {each['e2e']:.0f} ({each['e2e_least']:.0f}-{each['e2e_most']:.0f}) | "
            f"{each['accepted']:.0f} | {each['cpu_us']:.0f} | {start} | {child} | {each['keeps']} |"
        )
    lines += ["", "| goal | measured | wanted | aim |", "| --- | --- | --- | --- |"]
    for each in report["goals"]:
        wanted = f"at least {each['least']}" if "least" in each else f"at most {each['most']}"
        lines.append(f"| {each['work']} | {each['ratio']} | {wanted} | {each['aim'] or '-'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
