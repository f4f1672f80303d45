"""Pictures of each page, on a desk and on a phone, light and dark: python -m tests.browser.screenshots [--only NAME]

Fills a database of its own with an hour of life (scenery.py), and writes var/screenshots/*.png; with --kept, the few
that the documents show into docs/screenshots, which are the only ones in the repository.
"""

import argparse
import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser import scenery, scenery_repairs, scenery_workflows
from tests.browser.chromium import chromium
from tests.support.servers.databases import NO_BROKER, ROOT, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment

FOLDER = ROOT / "var" / "screenshots"
KEPT_FOLDER = ROOT / "docs" / "screenshots"
KEPT = frozenset(
    {
        "overview-desk-light",
        "overview-phone-dark",
        "tasks-desk-light",
        "task-failed-desk-light",
        "submit-desk-light",
        "dead-letters-desk-light",
        "run-desk-light",
        "schedule-desk-light",
    }
)
SIZES = {"desk": (1280, 860), "phone": (390, 844)}
COLOURS = 200
TALLEST = 1600  # CSS pixels; below that there is only more of the same
THEMES = ("light", "dark")


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description="Take pictures of the dashboard's pages")
    parser.add_argument("--only", default="", help="part of the names of those to take")
    parser.add_argument("--kept", action="store_true", help="take those of the documents, into docs/screenshots")
    parser.add_argument("--folder", type=Path, help="where to write them (var/screenshots)")
    options = parser.parse_args()
    folder = options.folder or (KEPT_FOLDER if options.kept else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)

    def is_wanted(name: str) -> bool:
        return options.only in name and (name in KEPT or not options.kept)

    with ExitStack() as closing:
        databases = Databases(closing.enter_context(PrivatePostgres()).url())
        database_url = databases.create("screenshots")
        scene = scenery.paint(database_url)
        links = "Flower=http://127.0.0.1:5555, RabbitMQ=http://127.0.0.1:15672"
        environment = service_environment(database_url=database_url, broker_url=NO_BROKER, dashboard_links=links)
        os.environ |= {name: environment[name] for name in ("DATABASE_URL", "BROKER_URL")}
        paths = pages(scene) | scenery_workflows.paint(database_url, scene.boss)
        paths |= scenery_repairs.paint(database_url, scene.boss)
        api = Api(environment)
        api.command = [part for part in api.command if part != "tests.support.servers.with_test_types"]
        closing.enter_context(api)
        browser = closing.enter_context(chromium())
        for size in SIZES:
            for theme in THEMES:
                take(browser, api, scene, paths, folder, is_wanted, size, theme)


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
    browser: Browser, api: Api, scene: scenery.Scene, paths: dict[str, str], folder: Path,
    is_wanted: Callable[[str], bool], size: str, theme: str,
) -> None:  # fmt: skip
    """Take those of one size and theme whose names are wanted."""
    names = {name: f"{name}-{size}-{theme}" for name in ("login", *paths)}
    if not any(map(is_wanted, names.values())):
        return
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    try:
        page, url = context.new_page(), api.url
        scenery.stay_alive(api.environment["DATABASE_URL"])
        page.goto(f"{url}/login")
        if is_wanted(names["login"]):
            save(page, folder / f"{names['login']}.png", width, height)
        page.get_by_label("E-mail address").fill(scene.admin)
        page.get_by_label("Password").fill(scenery.PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{url}/")
        for name, path in paths.items():
            if not is_wanted(names[name]):
                continue
            scenery.stay_alive(api.environment["DATABASE_URL"])
            page.goto(url + path, wait_until="load")
            page.wait_for_timeout(250)  # for the charts' legends
            save(page, folder / f"{names[name]}.png", width, height)
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
