"""What people do with the dashboard, done in Chromium, with a real worker behind it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.timeout(300)  # the first one starts an installation and a browser

PASSED_ON = """
SELECT NOT EXISTS (SELECT FROM event_outbox JOIN task_events ON id = event_id
                   WHERE task_id = ANY(%(ids)s::uuid[])) AS all
"""
SOON = 20_000  # ms: a worker on a busy machine


def state(page: Page):
    return page.locator("#state .status").first


def confirm(page: Page, name: str) -> None:
    """The button of the dialog that asks first."""
    page.get_by_role("dialog").get_by_role("button", name=name).click()


def test_somebody_logs_in_and_out(visit: Visit, user):
    page = visit.go("/tasks?status=FAILED")
    page.wait_for_url(re.compile("/login"))
    page.get_by_label("E-mail address").fill(user.email)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong")

    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(re.compile("/tasks.status=FAILED"))
    cookie = next(each for each in page.context.cookies() if each["name"] == "taskledger")
    page.get_by_role("button", name="Log out").click()

    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")


def test_a_form_submits_a_task_which_completes_before_ones_eyes(visit: Visit, user):
    page = visit.log_in(user)
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_role("link", name="drill").click()
    page.get_by_label("Steps").fill("25")
    page.get_by_text("Name, priority, times").click()
    page.get_by_label("Name").fill("A drill by form")
    page.locator("fieldset", has=page.get_by_text("Labels")).get_by_role("button", name="Add").click()
    page.get_by_label("Labels 1, name").fill("team")
    page.get_by_label("Labels 1, value").fill("billing")
    page.locator("[data-submit]").click()
    page.wait_for_url(re.compile("/tasks/[0-9a-f-]{36}"))

    expect(page.get_by_role("heading", name="A drill by form")).to_be_visible()
    expect(state(page)).to_have_text("Completed", timeout=SOON)
    expect(page.locator("#result pre")).to_have_text("25")
    expect(page.locator("#log")).to_contain_text("stepped")
    expect(page.locator("#timeline")).to_contain_text("Processing")
    expect(page.get_by_role("link", name="team:billing")).to_be_visible()


def test_filters_live_in_the_address(visit: Visit, user, installation):
    for name, team in (("one", "red"), ("two", "blue")):
        body = {"type": "reverse_string", "payload": "x", "name": f"filter {name}", "labels": {"team": team}}
        assert installation.http.post(f"{installation.api.url}/api/v1/tasks", json=body, headers=user.headers).ok
    page = visit.log_in(user)
    page.get_by_role("link", name="Tasks", exact=True).click()
    page.get_by_label("Label", exact=True).fill("team:red")
    page.get_by_role("button", name="Filter").click()

    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("filter one")
    assert "label=team%3Ared" in page.url
    page.get_by_label("Label", exact=True).fill("")
    page.get_by_role("searchbox", name="Text").fill("filter tw")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.reload()
    expect(page.locator("tbody")).to_contain_text("filter two")
    page.get_by_text("Failed", exact=True).click()
    expect(page.get_by_role("heading", name="No task matches")).to_be_visible()


def test_a_dead_letter_is_started_over_after_a_preview_of_the_count(visit: Visit, user, installation):
    for _ in range(3):
        body = {"type": "drill", "payload": {"message": "the drill failed"}, "max_retries": 0}
        assert installation.http.post(f"{installation.api.url}/api/v1/tasks", json=body, headers=user.headers).ok
    page = visit.log_in(user)
    page.get_by_role("link", name="Dead letters", exact=True).first.click()
    expect(page.locator(".count.bad")).to_have_text("3", timeout=SOON)

    page.get_by_role("link", name="Start over…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Start over 3 dead letters?")
    confirm(page, "Start over 3")

    expect(page.get_by_role("status")).to_contain_text("3 dead letters were started over")
    expect(page.locator(".count.bad")).to_have_text("3", timeout=SOON)  # they fail again
    page.get_by_role("link", name="an example").click()
    expect(page.locator("#state")).to_contain_text("the drill failed")
    page.locator("#state").get_by_role("link", name="Start over").click()
    confirm(page, "Start it over")
    expect(page.locator("#attempts")).to_contain_text("3", timeout=SOON)


def test_a_running_task_is_cancelled(visit: Visit, user, installation):
    body = {"type": "drill", "payload": {"steps": 600}, "name": "long"}
    answer = installation.http.post(f"{installation.api.url}/api/v1/tasks", json=body, headers=user.headers)
    visit.log_in(user)
    page = visit.go(f"/tasks/{answer.json()['id']}")
    expect(state(page)).to_have_text("Processing", timeout=SOON)
    expect(page.locator("#state progress")).to_be_visible(timeout=SOON)

    page.get_by_role("link", name="Cancel", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("It is running")
    confirm(page, "Cancel the task")

    expect(state(page)).to_have_text("Cancelled", timeout=SOON)
    expect(page.locator("#facts")).to_contain_text("stopped")


def test_a_queue_is_paused_and_resumed(visit: Visit, admin):
    page = visit.log_in(admin)
    page.get_by_role("link", name="Queues", exact=True).click()
    page.locator('#queues a[href$="/queues/tasks/pause"]').click()
    expect(page.get_by_role("dialog")).to_contain_text("Workers stop taking from it within 3 seconds")
    page.get_by_label(re.compile("Why")).fill("the disk is being replaced")
    confirm(page, "Pause")

    expect(page.locator("#queues")).to_contain_text("the disk is being replaced")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#alerts")).to_contain_text("the disk is being replaced")
    page.get_by_role("link", name="Queues", exact=True).click()
    page.locator("#queues").get_by_role("link", name="Resume").click()
    confirm(page, "Resume")
    expect(page.locator("#queues")).to_contain_text("Open")


def test_selected_tasks_are_deleted_together_after_being_named(visit: Visit, user, installation):
    ids = []
    for number in range(3):
        body = {"type": "reverse_string", "payload": "x", "labels": {"set": "selected"}, "name": f"selected {number}"}
        answer = installation.http.post(f"{installation.api.url}/api/v1/tasks", json=body, headers=user.headers)
        ids.append(answer.json()["id"])
    installation.wait_until("COMPLETED", ids)
    wait_for(lambda: installation.rows(PASSED_ON, {"ids": ids})[0]["all"])  # before that a task cannot be deleted
    visit.log_in(user)
    page = visit.go("/tasks?label=set:selected")
    page.get_by_label(f"Select {ids[0]}").check()
    page.get_by_label(f"Select {ids[2]}").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete 2 tasks?")
    confirm(page, "Delete 2")

    expect(page.get_by_role("status")).to_contain_text("done for 2 of 2")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_workflow_is_drawn_and_a_run_of_it_completes_before_ones_eyes(visit: Visit, user, installation):
    steps = {
        "first": {"type": "drill", "payload": {"steps": 20}},
        "left": {"type": "reverse_string", "payload": "ab", "after": ["first"]},
        "right": {"type": "uppercase_text", "payload": "ab", "after": ["first"]},
        "join": {"type": "reverse_string", "payload": {"$from": "steps.left.result"}, "after": ["left", "right"]},
    }
    body = {"name": "diamond", "definition": {"steps": steps}}
    assert installation.http.post(f"{installation.api.url}/api/v1/workflows", json=body, headers=user.headers).ok
    page = visit.log_in(user)
    page.get_by_role("link", name="Workflows", exact=True).click()
    page.get_by_role("link", name="diamond").click()
    expect(page.locator("svg .node")).to_have_count(4)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"))

    expect(page.locator("svg .node-waiting")).not_to_have_count(0)
    expect(page.locator("svg .node-completed")).to_have_count(4, timeout=SOON)
    expect(state(page)).to_have_text("Completed", timeout=SOON)
    page.locator("svg a", has_text="join").click()
    expect(page.locator("#facts")).to_contain_text("step join of")
    expect(page.locator("#result pre")).to_have_text('"ab"')


def test_a_failed_run_is_taken_up_again_after_saying_what_it_repeats(visit: Visit, user, installation):
    steps = {
        "good": {"type": "reverse_string", "payload": "ab"},
        "bad": {"type": "drill", "payload": {"message": "no"}, "after": ["good"], "retry": {"max_retries": 0}},
    }
    body = {"name": "halting", "definition": {"on_failure": "stop", "steps": steps}}
    assert installation.http.post(f"{installation.api.url}/api/v1/workflows", json=body, headers=user.headers).ok
    run = installation.http.post(
        f"{installation.api.url}/api/v1/workflows/halting/runs", json={}, headers=user.headers
    ).json()
    visit.log_in(user)
    page = visit.go(f"/runs/{run['id']}")
    expect(state(page)).to_have_text("Failed", timeout=SOON)

    page.get_by_role("link", name="Go on from what failed").click()
    expect(page.get_by_role("dialog").locator(".touched-list")).to_have_text("bad drill")
    confirm(page, "Go on")

    expect(page.locator("#history")).to_contain_text("retried")
    expect(state(page)).to_have_text("Failed", timeout=SOON)  # it fails again


def test_a_webhook_is_made_and_its_delivery_log_read(visit: Visit, user):
    page = visit.log_in(user)
    page.get_by_role("link", name="Webhooks", exact=True).click()
    page.get_by_label("Address").fill("http://127.0.0.1:9/hooks")  # private, and nobody listens
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("status")).to_contain_text("whsec_")

    page.get_by_role("link", name="the new webhook").click()
    page.get_by_role("link", name="Send a test").click()
    confirm(page, "Send it")

    expect(page.locator("#deliveries")).to_contain_text("webhook.test")
    expect(page.locator("#deliveries .status-failed")).to_be_visible(timeout=SOON)
    page.get_by_text("1 attempt, and what was sent").click()
    expect(page.locator("#deliveries .log")).to_contain_text("127.0.0.1")
    page.get_by_role("link", name="Delete").click()
    confirm(page, "Delete for good")
    expect(page.get_by_role("heading", name="No webhook yet")).to_be_visible()


def test_the_keyboard_reaches_and_works_everything(visit: Visit, user):
    page = visit.log_in(user)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.goto("/tasks")
    failed = page.locator('input[name="status"][value="FAILED"]')
    failed.focus()
    page.keyboard.press("Space")
    page.wait_for_url(re.compile("status=FAILED"))


def test_a_theme_is_chosen_and_kept(visit: Visit, user):
    page = visit.log_in(user)
    page.get_by_role("button", name="Dark theme").click()
    page.goto("/tasks")

    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 24)"
    expect(page.get_by_role("button", name="Light theme")).to_be_visible()


def test_no_page_is_wider_than_a_phone(visit: Visit, admin, installation):
    task_id = installation.submit("reverse_string", "w" * 3000, name="n" * 200, labels={"k" * 60: "v" * 250})
    visit.log_in(admin)
    visit.page.set_viewport_size({"width": 390, "height": 844})
    wide = []
    for path in ("/", "/tasks", f"/tasks/{task_id}", "/submit/create_invoice", "/dead-letters", "/queues", "/workers",
                 "/schedules", "/schedules/new?type=send_email", "/workflows", "/workflows/invoice", "/runs",
                 "/webhooks", "/account", "/accounts", "/audit"):  # fmt: skip
        page = visit.go(path)
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            wide.append(path)

    assert wide == []


def test_hostile_texts_do_nothing(visit: Visit, admin, installation):
    text = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'"
    failing = installation.submit("drill", {"message": text}, name=text, labels={"team": text}, max_retries=0)
    installation.wait_until("FAILED", [failing])
    page = visit.log_in(admin)
    opened: list[str] = []
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    for path in ("/", "/tasks", "/dead-letters", f"/tasks/{failing}", f"/submit/drill?copy_of={failing}"):
        visit.go(path)
        page.wait_for_timeout(2_000)  # a live region is drawn again meanwhile
        shown = page.locator("main").inner_text() + " ".join(
            each.input_value() for each in page.locator("main input[type=text], main textarea").all()
        )
        assert text in shown, path

    assert opened == []
