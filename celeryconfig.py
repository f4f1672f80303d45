"""Celery's settings, each with its reason; the one place where the application and the task types are put together."""

import sys

import app.observability.plain_structlog  # noqa: F401 (before anything that imports structlog)
from app import task_packages
from app.capacity import worker_slots_here
from app.config import get_settings
from taskledger_sdk.packages import EXIT_STATUS, BrokenFiles
from taskledger_sdk.registry import MAX_HARD_LIMIT_SECONDS
from tasks.brokers import tls_of, url_for_kombu
from tasks.topology import queue_names, work_queue

_settings = get_settings()
_broker = _settings.broker

# --- what runs -------------------------------------------------------------------------------------------------------
imports = ("app.worker",)  # the worker learns its task types there; named as a string: tasks/ never imports app/
worker_consumer = "app.worker.consumer:LedgerConsumer"  # what is no hint becomes a dead letter, never a loop
beat_scheduler = "app.dispatcher.scheduler:DutyScheduler"  # `celery -A tasks beat` is our dispatcher

# --- the broker ------------------------------------------------------------------------------------------------------
broker_url = url_for_kombu(_settings.broker_url)
broker_use_ssl = tls_of(_settings.broker_url, ca_file=_settings.broker_ca_file)  # kombu alone would not compare names
broker_transport_options = dict(_broker.transport_options)  # publisher confirms on; see tasks/brokers.py
broker_connection_timeout = 2  # bounds connect and handshake
broker_connection_retry_on_startup = True  # a worker started before its broker waits for it
broker_connection_max_retries = None  # and never gives up (Celery's default is 100 tries)
broker_channel_error_retry = True  # a 406 would end the worker otherwise; leases make the second copy a no-op
broker_heartbeat = 30  # notices half-open connections
broker_pool_limit = 32  # opened on demand; each of Flower's inspecting threads holds one and waits for a second
broker_native_delayed_delivery_queue_type = "classic"  # unused: delays live in due_at, never in the broker

# --- queues ----------------------------------------------------------------------------------------------------------
try:
    task_packages.use(_settings)
    task_queues = [work_queue(name, _broker.queue_arguments) for name in queue_names()]
except BrokenFiles as _error:  # no process starts with some of the types, and Celery would show a traceback
    sys.stderr.write(f"Error: {_error}\n")
    sys.exit(EXIT_STATUS)
task_default_queue = "tasks"  # types that name no queue
task_default_exchange = "tasks"
task_default_exchange_type = "direct"
task_default_routing_key = "tasks"
task_create_missing_queues = False  # a misspelt -Q is an error, not a new queue that nobody fills
control_queue_durable = True  # with the next line: two workers of one name can both live (Celery 5.7 ends the second)
control_queue_exclusive = False
event_queue_exclusive = True  # RabbitMQ 4 gives up transient queues that are not

# --- hints -----------------------------------------------------------------------------------------------------------
task_serializer = "json"  # a hint is a type and ids
accept_content = ["json"]  # no pickle: a message is never code
result_backend = None  # results are in the tasks table
task_ignore_result = True
task_publish_retry = False  # the ledger publishes again by itself; retries here would block the publisher
task_acks_late = True  # acknowledged once the outcome is recorded; what takes long earlier (app/worker/consumption.py)
task_acks_on_failure = True  # a failure is an outcome, and it is recorded
task_acks_on_timeout = True  # so is a time limit; False would run it for ever
task_reject_on_worker_lost = False  # redelivery is never recovery: leases, the parent and the dispatcher are
worker_cancel_long_running_tasks_on_connection_loss = False  # a blip of the broker must not kill healthy work
task_time_limit = MAX_HARD_LIMIT_SECONDS  # backstop for hints that bring no limit of their own

# --- the worker ------------------------------------------------------------------------------------------------------
worker_concurrency = _settings.worker_concurrency or worker_slots_here()  # Celery would count the host's processors
worker_prefetch_multiplier = 1  # a hint waits in the queue, where priorities hold, not in a busy worker
worker_disable_prefetch = _broker.counts_reserved  # nor in one that has lost its connection while all children work
worker_detect_quorum_queues = True  # per-consumer prefetch where global QoS is refused
worker_enable_prefetch_count_reduction = False  # after a lost connection prefetch stays as it was
worker_max_tasks_per_child = 10_000  # bounds what a leaking handler can hold
worker_max_memory_per_child = 500_000  # kilobytes; checked between tasks
worker_send_task_events = True  # Flower shows what runs
worker_hijack_root_logger = False  # app/observability/log.py sets up logging
worker_redirect_stdouts = False
worker_proc_alive_timeout = 10.0  # a child may take this long to start on a busy machine

# --- Flower and the rest ---------------------------------------------------------------------------------------------
task_send_sent_event = True  # Flower shows what waits, too
task_track_started = True
enable_utc = True
timezone = "UTC"
