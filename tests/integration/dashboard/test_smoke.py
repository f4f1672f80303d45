"""Every page, with rows of all kinds."""

import pytest
from app.models import Status
from tests.factories import make_schedule, make_task

PAGES = ["/", "/?window=24h", "/tasks", "/tasks?status=FAILED&q=x&label=a:b&since=1h", "/submit", "/dead-letters", "/queues", "/workers", "/schedules", "/schedules/new", "/schedules/new?type=http_request",
 "/account", "/accounts", "/audit", "/live", "/dead-letters/replay", "/queues/queues/tasks/pause", "/queues/types/http_request/pause"]

@pytest.mark.parametrize("path", PAGES)
def test_page(boss, session, store, path, now):
    for status in Status:
        store(status=status, now=now, error={"type":"X","message":"boom","traceback":"tb"} if status=="FAILED" else None, labels={"team":"a"})
    make_schedule(session, now=now, next_at=now)
    session.commit()
    r = boss.get(path)
    assert r.status_code == 200, r.text[-3000:]

def test_types(boss):
    from tasks.registry import load_types
    for name, t in load_types().items():
        for i in range(len(t.examples)):
            r = boss.get(f"/submit/{name}?example={i}")
            assert r.status_code == 200, r.text[-2000:]

def test_task(boss, session, store, now):
    for status in Status:
        task = store(status=status, now=now, error={"type":"X","message":"boom","traceback":"tb"} if status=="FAILED" else None, labels={"team":"a"})
        r = boss.get(f"/tasks/{task.id}")
        assert r.status_code == 200, r.text[-2000:]
        for a in ("cancel","retry","delete","compensate"):
            assert boss.get(f"/tasks/{task.id}/{a}").status_code == 200
        assert boss.get(f"/tasks/{task.id}/edit").status_code == 200
    s = make_schedule(session, now=now, next_at=now); session.commit()
    for p in ("", "/edit", "/run", "/delete", "/enable", "/disable"):
        r = boss.get(f"/schedules/{s.id}{p}")
        assert r.status_code == 200, r.text[-2000:]
