"""The health check of containers: it needs psycopg2 only, so that what it shares with others is written twice."""

from app.healthcheck import QUESTIONS
from app.services.dispatch.workers import ALIVE_FOR


def test_a_worker_is_healthy_for_as_long_as_it_counts_as_alive():
    assert f"interval '{ALIVE_FOR.total_seconds():.0f} seconds'" in QUESTIONS["worker"]
