"""The worker as pytest-celery sees it: its `celery_setup`, standing on processes instead of Docker containers."""

import pytest
import sqlalchemy as sa
from celery import Celery
from pytest_celery import CeleryBrokerCluster, CeleryTestBroker, CeleryTestWorker, CeleryWorkerCluster

from app.clock import utcnow
from app.database import Base, Session
from tests.support.factories import make_task
from tests.support.servers.programs import Worker, service_environment
from tests.support.servers.waiting import wait_for


class WorkerContainer:
    """What pytest-celery asks of a container, answered by a worker process."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.id = self.name = worker.node

    @property
    def status(self) -> str:
        return "running" if self.worker.is_running else "exited"

    def ready(self) -> bool:
        return self.worker.wait_until_ready().is_running

    def logs(self) -> str:
        return self.worker.log

    def kill(self, signal: str = "SIGKILL") -> None:
        self.worker.kill() if signal == "SIGKILL" else self.worker.stop()

    def restart(self, timeout: int) -> None:
        if self.worker.is_running:
            self.worker.stop(timeout=timeout)
        self.worker.start().wait_until_ready()

    def reload(self) -> None:
        """A process has no state to fetch anew."""

    def teardown(self) -> None:
        self.worker.end()


class VirtualHost:
    """What pytest-celery asks of a broker's container, answered by a virtual host."""

    def __init__(self, url: str) -> None:
        self.id = self.name = url
        self.celeryconfig = {"url": url, "host_url": url}

    def ready(self) -> bool:
        return True


@pytest.fixture
def celery_broker_cluster(broker_url: str) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(CeleryTestBroker(VirtualHost(broker_url)))


@pytest.fixture
def celery_backend_cluster() -> None:
    """Results are in the tasks table."""


@pytest.fixture
def celery_backend_cluster_config() -> None:
    """Likewise."""


@pytest.fixture
def celery_worker_cluster(database_url: str, broker_url: str):
    worker = Worker(service_environment(database_url=database_url, broker_url=broker_url)).start()
    node = CeleryTestWorker(WorkerContainer(worker), app=None)
    yield CeleryWorkerCluster(node)
    node.teardown()


@pytest.fixture
def celery_setup_app(broker_url: str):
    """Not the current application of this process, which is our own."""
    with Celery("setup", broker=broker_url, set_as_current=False) as app:
        yield app


def test_a_worker_runs_hints_before_and_after_its_restart(celery_setup, engine):
    assert celery_setup.ready(control=True)
    before, after = _waiting_task(engine), _waiting_task(engine)

    celery_setup.app.send_task("reverse_string", args=[before], exchange="tasks", routing_key="tasks")
    wait_for(lambda: _status(engine, before) == "COMPLETED")
    celery_setup.worker.restart()
    celery_setup.app.send_task("reverse_string", args=[after], exchange="tasks", routing_key="tasks")
    wait_for(lambda: _status(engine, after) == "COMPLETED")


def _waiting_task(engine: sa.Engine) -> str:
    with Session(engine) as session, session.begin():
        return str(make_task(session, now=utcnow()).id)


def _status(engine: sa.Engine, task_id: str) -> str:
    table = Base.metadata.tables["tasks"]
    with engine.connect() as connection:
        return connection.scalar(sa.select(table.c.status).where(table.c.id == task_id))
