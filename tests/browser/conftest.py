"""A browser, an installation to look at, and a page that notices what must not happen."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

from app.services.accounts import passwords
from tests.browser import chromium
from tests.browser.scenery import PASSWORD
from tests.conftest import empty_broker_url, unavailable
from tests.support.people import Person, make_person
from tests.support.servers.databases import Databases
from tests.support.servers.stack import Stack

NOTHING_INLINE = "default-src 'none'; script-src 'self'; style-src 'self';"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests."""
    if not os.path.exists(chromium.PATH):
        unavailable(f"Chromium: {chromium.PATH} is missing (on Debian: apt-get install chromium)")
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def installation(databases: Databases, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """API, worker and dispatcher for one module."""
    database_url = databases.create(f"browser_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        yield stack
    databases.drop(database_url)


def somebody(database_url: str, role: str) -> Person:
    """An account that can log in with scenery.PASSWORD."""
    return make_person(database_url, role=role, password_hash=passwords.hashed(PASSWORD))


@dataclass
class Visit:
    """A page, and everything on it that must not be: it is asserted at the end of each test."""

    page: Page
    url: str
    console: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        # The 401 and 422 that a test asks for are no fault of a page; a refused policy, a missing file, a script's are.
        is_status = "Failed to load resource" in message.text and any(each in message.text for each in ("401", "422"))
        if message.type in ("error", "warning") and not is_status:
            self.console.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.url + "/", "data:")):
            self.elsewhere.append(request.url)

    def _on_response(self, response: Response) -> None:
        policy = response.headers.get("content-security-policy", "")
        is_page = response.headers.get("content-type", "").startswith("text/html")
        if is_page and (not policy.startswith(NOTHING_INLINE) or "unsafe" in policy):
            self.loose.append(f"{response.url}: {policy}")

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def log_in(self, person: Person) -> Page:
        self.go("/login")
        self.page.get_by_label("E-mail address").fill(person.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{self.url}/")
        return self.page


@pytest.fixture
def visit(browser: Browser, installation: Stack) -> Iterator[Visit]:
    """A visit that nobody has logged in for; it must end without anything that must not be."""
    context = browser.new_context(base_url=installation.api.url, viewport={"width": 1280, "height": 860})
    context.set_default_timeout(15_000)
    visit = Visit(page=context.new_page(), url=installation.api.url)
    visit.watch()
    yield visit
    context.close()
    assert visit.console == []
    assert visit.elsewhere == []
    assert visit.loose == []


@pytest.fixture(scope="module")
def admin(installation: Stack) -> Person:
    return somebody(installation.database_url, "admin")


@pytest.fixture(scope="module")
def user(installation: Stack) -> Person:
    return somebody(installation.database_url, "user")
