"""Pictures of each page, on a desk and on a phone, light and dark: python -m tests.browser.screenshots [--only NAME]

Fills a database of its own with an hour of life (scenery.py), and writes docs/screenshots/*.png.
"""

import argparse
import io
import os
from contextlib import ExitStack
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser import scenery, scenery_workflows
from tests.browser.chromium import chromium
from tests.support.servers.databases import NO_BROKER, ROOT, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment

FOLDER = ROOT / "docs" / "screenshots"
SIZES = {"desk": (1280, 860), "phone": (390, 844)}
COLOURS = 200
TALLEST = 1600  # CSS pixels; below that there is only more of the same
THEMES = ("light", "dark")


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description="Take the pictures of docs/screenshots")
    parser.add_argument("--only", help="part of the names of those to take")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as closing:
        databases = Databases(closing.enter_context(PrivatePostgres()).url())
        database_url = databases.create("screenshots")
        scene = scenery.paint(database_url)
        links = "Flower=http://127.0.0.1:5555, RabbitMQ=http://127.0.0.1:15672"
        environment = service_environment(database_url=database_url, broker_url=NO_BROKER, dashboard_links=links)
        os.environ |= {name: environment[name] for name in ("DATABASE_URL", "BROKER_URL")}
        paths = pages(scene) | scenery_workflows.paint(database_url, scene.boss)
        api = Api(environment)
        api.command = [part for part in api.command if part != "tests.support.servers.with_test_types"]
        closing.enter_context(api)
        browser = closing.enter_context(chromium())
        for size, (width, height) in SIZES.items():
            for theme in THEMES:
                take(browser, api, scene, paths, options.folder, size, width, height, theme, options.only)


def pages(scene: scenery.Scene) -> dict[str, str]:
    """Names and paths."""
    return {
        "overview": "/",
        "tasks": "/tasks",
        "task-running": f"/tasks/{scene.running}",
        "task-failed": f"/tasks/{scene.failed}",
        "task-cancel": f"/tasks/{scene.running}/cancel",
        "submit": "/submit/http_request?example=1",
        "submit-choose": "/submit",
        "submit-nested": "/submit/create_invoice",
        "dead-letters": "/dead-letters",
        "dead-letters-replay": "/dead-letters/replay?type=send_email&fingerprint=a1b2c3d4e5f60718",
        "queues": "/queues",
        "workers": "/workers",
        "schedules": "/schedules",
        "schedule": f"/schedules/{scene.schedule}",
        "schedule-new": "/schedules/new?type=send_email",
        "workflows": "/workflows",
        "workflow": "/workflows/order-to-cash",
        "runs": "/runs",
        "webhooks": "/webhooks",
        "accounts": "/accounts",
        "account-edit": f"/accounts/{scene.account}",
        "account": "/account",
        "audit": "/audit",
    }


def take(
    browser: Browser, api: Api, scene: scenery.Scene, paths: dict[str, str], folder: Path, size: str, width: int,
    height: int, theme: str, only: str | None,
) -> None:  # fmt: skip
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    try:
        page, url = context.new_page(), api.url
        scenery.stay_alive(api.environment["DATABASE_URL"])
        page.goto(f"{url}/login")
        if not only or only in "login":
            save(page, folder / f"login-{size}-{theme}.png", width, height)
        page.get_by_label("E-mail address").fill(scene.admin)
        page.get_by_label("Password").fill(scenery.PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{url}/")
        for name, path in paths.items():
            if only and only not in name:
                continue
            scenery.stay_alive(api.environment["DATABASE_URL"])
            page.goto(url + path, wait_until="load")
            page.wait_for_timeout(250)  # for the charts' legends
            save(page, folder / f"{name}-{size}-{theme}.png", width, height)
    finally:
        context.close()


def save(page: Page, path: Path, width: int, height: int) -> None:
    """The whole page, with few colours, so that it stays small."""
    tall = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(max(tall, height), TALLEST)})
    picture = Image.open(io.BytesIO(page.screenshot()))
    page.set_viewport_size({"width": width, "height": height})
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
