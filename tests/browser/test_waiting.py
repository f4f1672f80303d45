"""Approving a task that waits: on its page, with a real worker behind it."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_dashboard import SOON, state

pytestmark = pytest.mark.timeout(300)


def test_somebody_approves_a_task_that_waits(visit: Visit, user, installation):
    body = {"type": "ask", "payload": {"text": "Shall it go on?"}, "name": "A question"}
    answer = installation.http.post(f"{installation.api.url}/api/v1/tasks", json=body, headers=user.headers)
    page = visit.log_in(user)
    page.goto(f"{visit.url}/tasks/{answer.json()['id']}")
    expect(state(page)).to_have_text("Waiting", timeout=SOON)
    expect(page.locator(".why")).to_contain_text("It waits for the signal approved")

    page.get_by_role("link", name="Answer…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Approved").check()
    dialog.get_by_label("Note").fill("with pleasure")
    dialog.get_by_role("button", name="Send").last.click()

    expect(state(page)).to_have_text("Completed", timeout=SOON)
    expect(page.locator("#result pre")).to_contain_text("with pleasure")
    expect(page.locator("#signals")).to_contain_text("taken by approved")
    expect(page.locator("#steps")).to_contain_text("approved")
