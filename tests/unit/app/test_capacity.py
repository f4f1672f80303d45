"""How many handlers a worker runs at once: what its container was given, never what the host has."""

import os

import pytest

from app.capacity import cpu_limit, memory_limit, worker_slots

GIB = 1 << 30
OLD_NO_LIMIT = "9223372036854771712"


@pytest.mark.parametrize(
    ("cpus", "memory_bytes", "slots"),
    [
        (2, None, 2),
        (64, 2 * GIB, 7),  # a large host, and a container of 2 GiB on it
        (2, 2 * GIB, 2),
        (1.5, 4 * GIB, 2),
        (0.25, None, 1),
        (8, GIB // 8, 1),  # less than a parent process needs
    ],
)
def test_a_worker_has_a_slot_for_each_processor_as_far_as_its_memory_goes(cpus, memory_bytes, slots):
    assert worker_slots(cpus=cpus, memory_bytes=memory_bytes) == slots


def here() -> int:
    return len(os.sched_getaffinity(0))


def written(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": f"{10**9} 100000\n"}, None),  # more than there are
        ({"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.25),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "not a number"}, None),
        ({}, None),
    ],
)
def test_the_processors_of_a_container_are_read_from_both_kinds_of_cgroups(tmp_path, files, cpus):
    assert cpu_limit(written(tmp_path, files)) == (cpus or here())


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "2147483648\n"}, 2 * GIB),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "536870912\n"}, GIB // 2),
        ({"memory/memory.limit_in_bytes": OLD_NO_LIMIT}, None),
        ({}, None),
    ],
)
def test_the_memory_of_a_container_is_read_from_both_kinds_of_cgroups(tmp_path, files, limit):
    assert memory_limit(written(tmp_path, files)) == limit
