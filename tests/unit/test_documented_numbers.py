"""Times, limits and sizes on the pages are those that hold: each is held against its constant, or says who measured it.

A number with a unit in docs/how-to or docs/explanation that is in none of the tables below fails the test. Add a line:
to CLAIMS with what the code says, to MEASURED with the program that measures it, or to ELSEWHERE where it is not ours.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import marshmallow
import pytest

from app import capacity
from app.api.work import schemas as work_schemas
from app.commands import sink
from app.commands.audit import MIN_KEPT
from app.commands.doctor import key_points
from app.commands.doctor.audit_points import LATE_SECONDS
from app.commands.doctor.database_points import MAX_BACKUP_HOURS
from app.config.production import SECRET_MIN_LENGTH
from app.config.running import Running
from app.dashboard import sessions as dashboard_sessions
from app.database import SESSION_SETTINGS
from app.dispatcher import scheduler
from app.embedded import __main__ as embedded
from app.embedded import supervisor
from app.server import deadlines, pressure
from app.server import request as server_request
from app.server import worker as server
from app.services import idempotency, repairs, signals
from app.services.accounts import passwords, quotas, sessions, tokens
from app.services.dispatch.workers import ALIVE_FOR
from app.services.lifecycle.schema_holds import FIRST_PAUSE
from app.services.measuring.readiness import LATEST_LOOK
from app.services.repairs import pacing, preview
from app.services.schedules.policy import LATE
from app.services.schedules.targets import MAX_TARGET
from app.services.submission import chosen_ids
from app.services.tasks.children import MAX_CHILDREN, MAX_KEY
from app.services.tasks.search import MAX_LOOKED_AT
from app.services.tasks.task_log import LINES_OF_ATTEMPT
from app.services.webhooks.sending import OVERLAP
from app.sinks.audit.runner import MAX_ENTRIES
from app.web import repairs as repair_requests
from app.web.access import KEY_SECONDS
from app.web.database_deadline import MAX_COMMIT_SECONDS
from app.web.requests import dry_run
from app.web.schemas.schedules import ScheduleFields
from app.web.schemas.tasks import MAX_WAIT_SECONDS
from app.worker import event_loop, heartbeat, lifespans, shutdown
from app.worker.children import MAX_BYTES
from app.worker.outages import CLAIM_SECONDS
from taskledger_sdk import defaults
from taskledger_sdk.celery import payloads
from taskledger_sdk.celery import settings as adopted
from taskledger_sdk.client.settings import RETRY_SECONDS
from taskledger_sdk.defaults import rate_of
from taskledger_sdk.durable import asking
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, TaskType
from taskledger_sdk.results import CHECKPOINT_BYTES, RESULT_BYTES
from taskledger_sdk.retry import RetryPolicy
from tasks.brokers import NATS, RABBITMQ, REDIS
from tasks.handlers import webhook_delivery
from tests.unit.documents import ROOT, running_text

PAGES = [*sorted((ROOT / "docs/how-to").glob("*.md")), *sorted((ROOT / "docs/explanation").glob("*.md"))]
UNITS = "ms|s|seconds?|minutes?|min|h|hours?|days?|weeks?|years?|KB|MB|GB|KiB|MiB|kB|%|characters|bytes|children"
QUANTITY = re.compile(rf"(?<![\w.,])\d[\d,.]*\s?(?:{UNITS})(?!\w)")
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Claim:
    """Words of a page, and what the code says in the place of each number in them."""

    page: str
    words: str
    holds: Sequence[float]


def seconds(span: timedelta) -> float:
    return span.total_seconds()


def default_of(kind: type, field: str) -> float:
    return float(kind.__dataclass_fields__[field].default)


def longest(field: marshmallow.fields.Field) -> float:
    """How many characters a field takes."""
    return float(next(each.max for each in field.validators if isinstance(each, marshmallow.validate.Length)))


def number_in(path: str, pattern: str) -> float:
    """The number that a file of the repository has there."""
    found = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"))
    assert found is not None, f"{path} has nothing like {pattern}"
    return float(found[1])


KUBERNETES = "deploy/kubernetes/base"
RETRY = RetryPolicy()
CLAIMS = [
    Claim("durable-handlers.md", "and the payload of a child, have at most 256 KB", (asking.STEP_BYTES / 1024,)),
    Claim("durable-handlers.md", "a task remembers 1,000 steps", (asking.MAX_STEPS,)),
    Claim("durable-handlers.md", "of `gather`, and 8 MB", (asking.MAX_BYTES / 2**20,)),
    Claim("durable-handlers.md", "submits up to 10,000, of which", (asking.MAX_ITEMS,)),
    Claim(
        "ask-for-approval.md",
        "at most 100 untaken signals of at most 64 KB each",
        (signals.MAX_UNTAKEN, signals.MAX_BYTES / 1024),
    ),
    Claim("repair-dead-letters.md", "within 15 minutes starts the repair", (dry_run.TOKEN_SECONDS / 60,)),
    Claim("repair-dead-letters.md", "A repair has at most 100,000 tasks", (repairs.MAX_TASKS,)),
    Claim("repair-dead-letters.md", "| `canary` | `--canary` | 20 |", (repair_requests.DEFAULT_CANARY,)),
    Claim("repair-dead-letters.md", "| `per_second` | `--per-second` | 10 |", (repair_requests.DEFAULT_PER_SECOND,)),
    Claim("repair-dead-letters.md",
          "`--never-stop` | 0.1 | it stops when more of the first attempts fail; looked at from 20 on",
          (repair_requests.DEFAULT_RATIO, pacing.JUDGED_FROM)),
    Claim("repair-dead-letters.md", "in the dry run (the 5,000 oldest", (preview.MAX_CHECKED,)),
    Claim("accounts-and-keys.md", "an access token for 15 minutes and a refresh token for 30 days",
          (seconds(tokens.LIFETIME) / 60, sessions.REFRESH_LIFETIME.days)),
    Claim("accounts-and-keys.md", "revokes one, within 2 seconds everywhere", (KEY_SECONDS,)),
    Claim("accounts-and-keys.md", "for API keys within 2 seconds in every process", (KEY_SECONDS,)),
    Claim("accounts-and-keys.md", "every 5 seconds at most, and a submission costs nothing more",
          (quotas.LOOK_AGAIN_SECONDS,)),
    Claim("add-a-task-type.md", "3 retries; 2 s, doubling, at most 600 s, each drawn at random from 0 to that",
          (RETRY.max_retries, RETRY.base_seconds, RETRY.cap_seconds, 0)),
    Claim("add-a-task-type.md", "`timeout_seconds` | 300 |", (default_of(TaskType, "timeout_seconds"),)),
    Claim("add-a-task-type.md", "`grace_seconds` | 10 |", (default_of(TaskType, "grace_seconds"),)),
    Claim("add-a-task-type.md", "[up to 7 days](long-work.md)", (MAX_TIMEOUT_SECONDS / 86_400,)),
    Claim("add-a-task-type.md", "on every attempt of its task (1 to 200 characters)", (1, MAX_KEY)),
    Claim("add-a-task-type.md", "starts in a period (`5/s`, `100/min`, `10/30s`, `1000/day`)",
          (rate_of("5/s").count, rate_of("100/min").count, rate_of("10/30s").count, rate_of("10/30s").seconds,
           rate_of("1000/day").count)),
    Claim("add-a-task-type.md", "makes a key longer than 200 characters, or a label longer than 256",
          (defaults.MAX_KEY, defaults.MAX_LABEL)),
    Claim("add-a-task-type.md", "A task has at most 1,000 children", (MAX_CHILDREN,)),
    Claim("add-a-task-type.md", "keeps at most 8 MiB of payloads for its outcome", (MAX_BYTES / 1024**2,)),
    Claim("add-a-task-type.md", "At most 100 tasks stand above one another", (default_of(Running, "max_task_depth"),)),
    Claim("add-a-task-type.md", "a result above 1 MiB fails", (RESULT_BYTES / 1024**2,)),
    # A look in a second, and a tick until it is due.
    Claim("add-a-task-type.md", "its coroutine is cancelled where it waits, within 1.5 s",
          (heartbeat.LOOK_SECONDS + heartbeat.TICK_SECONDS,)),
    Claim("add-a-task-type.md", "after 2 s the log names the task and the line", (event_loop.BLOCKED_SECONDS,)),
    Claim("add-a-task-type.md", "an async one also when it takes longer than 10 s", (lifespans.START_SECONDS,)),
    Claim("add-a-task-type.md", "the last one first, within 5 s for all of them", (lifespans.END_SECONDS,)),
    Claim("dashboard.md", "A session ends after 12 hours without use, and after 30 days",
          (seconds(dashboard_sessions.IDLE) / 3600, sessions.REFRESH_LIFETIME.days)),
    Claim("dashboard.md", "they ask every 1.5 seconds",
          (number_in("app/dashboard/static/live.js", r"const LOOK_MS = (\d+);") / 1000,)),
    Claim("dashboard.md", "looks at the next 20,000 tasks", (MAX_LOOKED_AT,)),
    Claim("dbeaver.md", "`SET statement_timeout = '30s'`", (float(SESSION_SETTINGS["statement_timeout"][:-1]),)),
    Claim("deploy-on-kubernetes.md", "`preStop` waits 8 s until the endpoints are gone",
          (number_in(f"{KUBERNETES}/api.yaml", r"sleep: \{ seconds: (\d+) \}"),)),
    Claim("deploy-on-kubernetes.md", "gunicorn then lets requests finish for 25 s",
          (number_in("Dockerfile.api", r"--graceful-timeout=(\d+)"),)),
    Claim("deploy-on-kubernetes.md", "60 s to end: 20 to finish, 8 more until a handler that does not stop is killed",
          (number_in(f"{KUBERNETES}/worker.yaml", r"terminationGracePeriodSeconds: (\d+)"),
           default_of(Running, "shutdown_grace_seconds"), shutdown.GRACE_AFTER_SIGNAL_SECONDS)),
    Claim("change-a-payload.md", "goes back to the ledger for 10 seconds", (seconds(FIRST_PAUSE),)),
    Claim("deploy-on-kubernetes.md", "given back by the next rescue, 15 s later", (seconds(ALIVE_FOR),)),
    Claim("deploy-with-compose.md", "as far as there are 256 MiB of memory for each", (capacity.SLOT_BYTES / 1024**2,)),
    Claim("deploy-with-compose.md", "fails above 275 MB",
          (number_in("deploy/check_images.sh", r"budget=\$\{1:-(\d+)\}"),)),
    Claim("long-work.md", "A task may take up to 7 days, on every broker", (MAX_TIMEOUT_SECONDS / 86_400,)),
    Claim("long-work.md", "is at most 604,800 (7 days)", (MAX_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS / 86_400)),
    Claim("long-work.md", "not what came of it: at most 64 KB", (CHECKPOINT_BYTES / 1024,)),
    Claim("long-work.md", "500 of an attempt, and one more for each minute", (LINES_OF_ATTEMPT,)),
    Claim("long-work.md", "| RabbitMQ | 1800 s (`consumer_timeout`)", (RABBITMQ.longest_delivery_seconds,)),
    Claim("long-work.md", "| Redis, Valkey | 3600 s (the visibility timeout)", (REDIS.longest_delivery_seconds,)),
    Claim("long-work.md", "| NATS | 30 s, renewed by the worker", (NATS.transport_options["ack_wait"],)),
    Claim("migrate-from-celery.md", "a lost worker is found in 15 s", (seconds(ALIVE_FOR),)),
    Claim("production-checklist.md", "ran within 26 hours", (MAX_BACKUP_HOURS,)),
    Claim("production-checklist.md", "one has looked for due tasks within 15 s", (seconds(LATEST_LOOK),)),
    Claim("production-checklist.md", "it looks for 15 s at most", (key_points.LOOK_SECONDS,)),
    Claim("production-checklist.md", "no entry has waited for more than 5 minutes", (LATE_SECONDS / 60,)),
    Claim("protect-an-installation.md", "a batch (up to 500) is sent again", (MAX_ENTRIES,)),
    Claim("protect-an-installation.md", "access tokens | 15 minutes", (seconds(tokens.LIFETIME) / 60,)),
    Claim("protect-an-installation.md", "12 hours without use", (seconds(dashboard_sessions.IDLE) / 3600,)),
    Claim("protect-an-installation.md", "of a sensitive type keeps | 24 hours", (seconds(idempotency.KEPT) / 3600,)),
    Claim("protect-an-installation.md", "tokens of dry runs | 15 minutes", (dry_run.TOKEN_SECONDS / 60,)),
    Claim("protect-an-installation.md", "The last 30 days are always kept", (MIN_KEPT.days,)),
    Claim("start-work-on-events.md", "is repeated within 24 hours", (seconds(idempotency.KEPT) / 3600,)),
    Claim("receive-webhooks.md", "Answer within 15 seconds", (webhook_delivery.SECONDS,)),
    Claim("migrate-from-celery.md", "after 10 s: `retry_seconds`", (adopted.RETRY_SECONDS,)),
    Claim("migrate-from-celery.md", "`taskledger_retry_seconds` | 10 s |", (adopted.RETRY_SECONDS,)),
    Claim("migrate-from-celery.md", "up to 4 KB, in `self.request`", (payloads.MAX_OPTIONS_BYTES / 1024,)),
    Claim("python-client.md", "for `retry_seconds` (60 unless given)", (RETRY_SECONDS,)),
    Claim("typescript-client.md", "takes it within 24 hours of that", (seconds(chosen_ids.MAX_AWAY) / 3600,)),
    Claim("python-client.md", "takes it within 24 hours of that", (seconds(chosen_ids.MAX_AWAY) / 3600,)),
    Claim("delivery.md", "a moment within 24 hours of now", (seconds(chosen_ids.MAX_AWAY) / 3600,)),
    Claim("receive-webhooks.md", "For 24 hours both sign", (seconds(OVERLAP) / 3600,)),
    Claim("run-without-containers.md", "worker | `SHUTDOWN_GRACE_SECONDS` and 10 s",
          (shutdown.GRACE_AFTER_SIGNAL_SECONDS + shutdown.RECORD_SECONDS,)),
    Claim("run-without-containers.md", "whose broker does not answer, 10 s", (shutdown.CLOSING_SECONDS,)),
    Claim("run-without-containers.md", "| dispatcher, sinks | 10 s |", (scheduler.CLOSE_SECONDS,)),
    Claim("run-without-containers.md", "dispatcher, sinks | 10 s", (sink.CLOSE_SECONDS,)),
    Claim("run-without-containers.md", "`make run` | `SHUTDOWN_GRACE_SECONDS` and 14 s",
          (embedded.STOP_SECONDS + supervisor.LAST_SECONDS,)),
    Claim("run-without-containers.md", "15 s after its last sign of life", (seconds(ALIVE_FOR),)),
    Claim("run-without-containers.md", "what still runs 8 s after the grace period",
          (shutdown.GRACE_AFTER_SIGNAL_SECONDS,)),
    Claim("troubleshoot.md", "a lost worker is missed after 15 s", (seconds(ALIVE_FOR),)),
    Claim("upgrade.md", "who is killed is missed within 15 seconds", (seconds(ALIVE_FOR),)),
    Claim("delivery.md", "a worker's host dies | that attempt; 15 s", (seconds(ALIVE_FOR),)),
    Claim("delivery.md", "PostgreSQL is away for less than 10 s", (CLAIM_SECONDS,)),
    Claim("lifecycle.md", "A dead host is missed by the dispatcher after 15 seconds", (seconds(ALIVE_FOR),)),
    Claim("slow-clients.md", "10 s from its first byte, then 408", (deadlines.HEAD_SECONDS, 408)),
    Claim("slow-clients.md", "a body of up to 1 MB", (1,)),
    Claim("slow-clients.md", "all such bodies together have 64 MB", (server.MAX_READ_AHEAD / 1024**2,)),
    *(
        Claim("slow-clients.md", words, (deadlines.GRACE_SECONDS, deadlines.MIN_RATE / 1000, *more))
        for words, more in (
            ("10 s more than 2 kB/s take, then 408 |", (408,)),
            ("10 s more than 2 kB/s take, then 408; 30 s for a thread, then 503",
             (408, server.LARGE_WAIT_SECONDS, 503)),
            ("10 s more than 2 kB/s take; beyond these shares", ()),
            ('"10 s more than 2 kB/s take" means', ()),
        )
    ),
    Claim("slow-clients.md", "once its first 64 kB have come", (server_request.FIRST_OF_LARGE / 1024,)),
    Claim("slow-clients.md", "with less than 100 kB/s", (pressure.SLOW_RATE / 1000,)),
    Claim("slow-clients.md", "`MAX_WAITERS` of them | 60 s", (MAX_WAIT_SECONDS,)),
    Claim("work-in-another-language.md", "a JSON value of at most 64 KiB", (CHECKPOINT_BYTES / 1024,)),
    Claim("slow-clients.md", "`MAX_WAITING_CLAIMS` of them | 30 s", (work_schemas.MAX_WAIT_SECONDS,)),
    Claim("slow-clients.md", "an hour; 10 s for somebody who does not read", (deadlines.GRACE_SECONDS,)),
    Claim("slow-clients.md", "a commit 10 s", (MAX_COMMIT_SECONDS,)),
    Claim("slow-clients.md", "moves 2,000 bytes in each second", (deadlines.MIN_RATE,)),
    Claim("slow-clients.md", "slower for 10 seconds in all", (deadlines.GRACE_SECONDS,)),
    Claim("slow-clients.md", "sends nothing for 10 s",
          (number_in("deploy/nginx/nginx.conf", r"client_body_timeout (\d+)s"),)),
    Claim("security.md", "ends after 12 hours without use, and after 30 days",
          (seconds(dashboard_sessions.IDLE) / 3600, sessions.REFRESH_LIFETIME.days)),
    Claim("security.md", "An access token ends after 15 minutes; a refresh token after 30 days",
          (seconds(tokens.LIFETIME) / 60, sessions.REFRESH_LIFETIME.days)),
    Claim("security.md", "by one that has its own 30 days", (sessions.REFRESH_LIFETIME.days,)),
    Claim("security.md", "argon2id, 19 MiB of memory, two passes", (passwords.HASHER.memory_cost / 1024,)),
    Claim("security.md", "rotation, with an overlap of 24 hours", (seconds(OVERLAP) / 3600,)),
    Claim("security.md", "production asks 32 characters of `SECRET_KEY`", (SECRET_MIN_LENGTH,)),
    Claim("schedules.md", "at most 200 characters", (longest(ScheduleFields().fields["name"]),)),
    Claim("schedules.md", "at most 32 KiB", (MAX_TARGET / 1024,)),
    Claim("schedules.md", "noticed more than 30 seconds after its moment", (seconds(LATE),)),
]  # fmt: skip

MEASURED = [
    ("dashboard.md", r"took 68 ms at the 95th percentile; the bound is 200 ms", "benchmarks/dashboard.py"),
    ("deploy-with-compose.md", r"has 155 MB for the API and 269 MB for the worker", "deploy/check_images.sh"),
    ("fairness.md", r"\| 7\.8 and 41\.6 ms \|", "benchmarks/fairness.py"),
    ("fairness.md", r"\| 25\.5 and 41\.1 ms \|", "benchmarks/fairness.py"),
    ("hundred-million-rows.md", ".*", "benchmarks/growth.py"),
    ("performance.md", ".*", "benchmarks/latency.py"),
    ("slow-clients.md", r"holds crowds of slow clients and says what others notice.*", "benchmarks/slow_clients.py"),
]
"""What a program has found, which may find something else on another machine: page, words, and the program."""

ELSEWHERE = [
    ("upgrade.md", "did not answer for 72 seconds when we tried it"),
    ("run-without-containers.md", "its `--graceful-timeout` (30 s unless it is given)"),
    ("deploy-on-kubernetes.md", "120 s is the most on Fargate"),
    ("deploy-on-kubernetes.md", "deregistration delay of 30 s"),
    ("deploy-on-kubernetes.md", "Cloud Run gives 10 s after SIGTERM"),
    ("add-a-task-type.md", "raises or returns 50 MB"),
    ("slow-clients.md", "An upload at 50 kB/s takes as long as it takes"),
    ("comparison.md", "no limit of 15 minutes or 256 kB"),
]
"""What others do or advise, or was seen once; nothing of ours would change it."""


def page_of(name: str) -> Path:
    [page] = [page for page in PAGES if page.name == name]
    return page


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page}: {claim.words[:50]}")
def test_a_claim_is_on_its_page_and_holds(claim):
    text = running_text(page_of(claim.page))
    said = [float(number.replace(",", "")) for number in NUMBER.findall(re.sub(r"(?<=\d)s\b", "", claim.words))]

    assert claim.words in text
    assert said == [float(value) for value in claim.holds]


@pytest.mark.parametrize(("page", "words", "program"), MEASURED)
def test_what_was_measured_names_a_program_that_is_there(page, words, program):
    text = running_text(page_of(page))

    assert re.search(words, text)
    assert (ROOT / program).exists() or (ROOT / program.removesuffix(".py") / "__main__.py").exists()
    named = re.findall(r"python -m (benchmarks\.[a-z_]+)", text)
    assert [name for name in named if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_number_with_a_unit_is_held_against_something(page):
    text = running_text(page)
    known = [re.escape(claim.words) for claim in CLAIMS if claim.page == page.name]
    known += [words for name, words, _ in MEASURED if name == page.name]
    known += [re.escape(words) for name, words in ELSEWHERE if name == page.name]
    covered = [found.span() for words in known for found in re.finditer(words, text)]

    loose = [
        text[max(0, found.start() - 40) : found.end() + 20]
        for found in QUANTITY.finditer(text)
        if not any(start <= found.start() and found.end() <= end for start, end in covered)
    ]

    assert loose == []


def test_a_number_that_nobody_holds_against_anything_would_be_found():
    assert QUANTITY.findall("within 5 seconds, 1,000 children or 8 MiB; 12.5 %, 30s") == [
        "5 seconds", "1,000 children", "8 MiB", "12.5 %", "30s"
    ]  # fmt: skip
    assert QUANTITY.findall("page 4 of 10, step-2, 0.95, 3 workers") == []
