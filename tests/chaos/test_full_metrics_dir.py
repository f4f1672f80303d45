"""The file system of METRICS_DIR is full: what cannot be counted costs no work."""

import subprocess

import pytest
import requests

from tests.chaos.evidence import assert_one_outcome_each, attempts

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 200 kB in which 150 are taken: the first files of counts fit, no others do."""
    place = tmp_path / "metrics"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], check=True)
    (place / "ballast").write_bytes(b"x" * 150_000)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_processes_live_and_answer_where_nothing_can_be_counted(full_disk, make_stack, ledger):
    stack = make_stack(metrics_dir=str(full_disk), lease_seconds="6")

    with ledger.timed("200 tasks, 20 of which fail, with a full METRICS_DIR"):
        ids = [stack.submit("uppercase_text", f"text {number}") for number in range(180)]
        failing = [stack.submit("drill", {"message": "wrong"}) for _ in range(20)]
        stack.wait_until("COMPLETED", ids, timeout=40)
        stack.wait_until("FAILED", failing, timeout=40)

    assert attempts(stack, [*ids, *failing]) == {1: 200}
    assert_one_outcome_each(stack, [*ids, *failing])
    assert requests.get(f"{stack.api.url}/health/live", timeout=5).status_code == 200
    assert "counts_in_memory" in stack.worker.log + stack.api.log
