"""Points about this host or container: disk, files, limits."""

import resource
import shutil
from uuid import uuid4

from app.capacity import memory_limit
from app.commands.doctor.finding import Findings, fault, judged, ok, warning
from app.config import Settings
from app.config.production import split_url
from app.services.artifacts.store import Store, StoreAway

MIN_FREE_BYTES, MIN_FREE_SHARE = 1 << 30, 0.1
FEWEST_FILES = 1024


def of_host(settings: Settings) -> Findings:
    """What a process here would meet."""
    yield from _store(settings)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = files == resource.RLIM_INFINITY or files >= FEWEST_FILES
    yield judged("open files", enough, f"{files} allowed", f"raise `ulimit -n` to {FEWEST_FILES} or more", warning)
    limit = memory_limit()
    seen = f"{limit >> 20} MiB" if limit else "none for this process"
    advice = "give each container or service a memory limit, so that one of them cannot take the host down"
    yield judged("memory limit", limit is not None, seen, advice, warning)


def _store(settings: Settings) -> Findings:
    probe, store = uuid4(), Store.of(settings)
    try:
        store.write(probe, [b"doctor"])
        with store.open(probe) as content:
            is_same = content.read() == b"doctor"
        store.remove(probe)
    except (StoreAway, OSError) as error:
        yield fault("artifact store", str(error), "is it there, and may this account write to it?")
        return
    yield judged("artifact store", is_same, "a file was written, read and removed", "it returned something else")
    parts = split_url(settings.artifacts_url or "")
    if parts.scheme in ("", "file"):
        usage = shutil.disk_usage(parts.path or settings.var_dir)
        low = usage.free < MIN_FREE_BYTES or usage.free < usage.total * MIN_FREE_SHARE
        yield judged("disk", not low, f"{usage.free >> 30} GiB of {usage.total >> 30} GiB free", "make room")
    else:
        yield ok("disk", "files are in a bucket")
