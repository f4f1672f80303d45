"""Dead letters repaired by hand in Chromium: a patch that is wrong, a preview, outcomes that arrive by themselves."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.timeout(300)  # the first one starts an installation and a browser

SOON = 20_000  # ms: a worker on a busy machine
FAILED = "SELECT count(*) AS n FROM tasks WHERE type = 'drill' AND status = 'FAILED' AND owner_id = %(owner)s"


def test_a_cause_is_repaired_before_ones_eyes(visit: Visit, user, installation):
    for number in range(3):
        body = {"type": "drill", "payload": {"steps": 0, "message": f"no customer 'C-{number}'"}}
        installation.post("/tasks", body, headers=user.headers)
    wait_for(lambda: installation.rows(FAILED, {"owner": str(user.id)}) == [{"n": 3}], timeout=20)

    page = visit.log_in(user)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Dead letters").click()
    page.get_by_role("link", name="drill").first.click()
    expect(page.get_by_role("heading", name="An example")).to_be_visible()
    page.get_by_role("link", name="Repair drill…").click()
    page.get_by_label("JSON Patch on each payload").fill('[{"op": "replace", "path": "/id", "value": 1}]')
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("alert")).to_contain_text("patch.0.path")

    page.get_by_label("JSON Patch on each payload").fill('[{"op": "replace", "path": "/message", "value": ""}]')
    page.get_by_label("Canary").fill("1")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="Replay 3 dead letters?")).to_be_visible()
    expect(page.locator(".side-by-side").first).to_contain_text("no customer")
    page.get_by_role("button", name="Start the repair").click()
    page.wait_for_url(re.compile("/repairs/[0-9a-f-]{36}"))

    expect(page.locator("#state .status")).to_have_text("Completed", timeout=SOON)
    expect(page.locator("#tiles .tile", has_text="Well")).to_contain_text("3")
    expect(page.locator(".plot .uplot")).to_be_visible()


def test_the_name_of_a_cause_can_be_read_on_a_phone(visit: Visit, user, installation):
    installation.post(
        "/tasks",
        {"type": "drill", "payload": {"steps": 0, "message": "no customer"}, "max_retries": 0},
        headers=user.headers,
    )
    wait_for(lambda: installation.rows(FAILED, {"owner": str(user.id)}) == [{"n": 1}], timeout=20)
    visit.log_in(user)
    visit.page.set_viewport_size({"width": 390, "height": 844})

    heading = visit.go("/dead-letters").locator(".cause h2")
    name = wait_for(heading.bounding_box, what="the name of the cause is shown")  # a fresh list may just replace it

    assert name["height"] < 3 * 21  # lines; it was a letter wide, and 20 lines high
