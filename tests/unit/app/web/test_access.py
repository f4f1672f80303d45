"""What a route asks for when it says so, and when it says nothing."""

import pytest

from app.web.access import Access, access, access_of


def plain() -> None: ...


def asked(view=plain, *, method="GET", rule="/api/v1/tasks", endpoint="tasks.list_tasks") -> Access:
    return access_of(view, method=method, rule=rule, endpoint=endpoint)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_route_that_reads_asks_for_the_scope_of_reading(method):
    assert asked(method=method) is Access.READ


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_route_that_changes_something_asks_for_the_scope_of_writing(method):
    assert asked(method=method) is Access.WRITE


@pytest.mark.parametrize("kind", list(Access))
def test_what_a_route_says_itself_holds_for_every_method(kind):
    view = access(kind)(lambda: None)

    assert {asked(view, method=method) for method in ("GET", "POST")} == {kind}


@pytest.mark.parametrize("endpoint", ["docs.static", "dashboard.static"])
def test_files_of_ours_are_open(endpoint):
    assert asked(endpoint=endpoint) is Access.OPEN


def test_metrics_have_an_access_of_their_own():
    assert asked(rule="/metrics") is Access.METRICS


def test_a_path_that_leads_nowhere_is_not_open():
    assert asked(None, rule="", endpoint="") is Access.READ
