"""The cookie of the chosen theme over TLS."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.support.servers.self_signed import self_signed
from tests.support.servers.stack import Stack
from tests.support.servers.tls_front import TlsFront

pytestmark = pytest.mark.timeout(300)  # the first one starts an installation and a browser


def test_over_tls_the_chosen_theme_is_kept_in_a_cookie_of_this_host_alone(
    browser: Browser, installation: Stack, tmp_path: Path
):
    port = urlsplit(installation.api.url).port
    assert port is not None
    with TlsFront(self_signed(tmp_path), behind=port) as front:
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(f"{front.url}/login")
        # The log-in page has no button for it; the script that pages load is the same.
        page.evaluate(
            """async () => {
                document.body.insertAdjacentHTML("beforeend", "<button data-theme-toggle hidden></button>");
                (await import("/assets/theme.js")).startTheme();
                document.querySelector("[data-theme-toggle]").click();
            }"""
        )
        kept = {each["name"]: each for each in context.cookies() if "theme" in each["name"]}
        context.close()

    assert set(kept) == {"__Host-theme"}
    assert (kept["__Host-theme"]["secure"], kept["__Host-theme"]["value"]) == (True, "dark")
