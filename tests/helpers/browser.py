"""The page for people in a headless Chromium, the system's, by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from service import Service, settings_in

SOON = 20_000  # milliseconds until a test gives up
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Noted by the page itself, before its own script runs.
NOTES = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
window.longTasks = [];
new PerformanceObserver((list) => {
  longTasks.push(...list.getEntries().map((task) => task.duration));
}).observe({ type: "longtask", buffered: true });
"""


@contextmanager
def chromium_or_skip() -> Iterator[Any]:
    """A browser of Playwright's; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs chromium")
    # Chromium has no sandbox for root, as whom tests in containers run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    manager = api.sync_playwright()
    playwright = manager.start()
    try:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
    finally:
        _stop(manager, playwright)


def _stop(manager: Any, playwright: Any) -> None:
    try:
        playwright.stop()
    except RuntimeError as problem:
        # With other threads about, asyncio.all_tasks() can meet a task that is not
        # initialized. There is nothing left to cancel at that point.
        if "not initialized" not in str(problem):
            raise
        manager._loop.close()


class Served(NamedTuple):
    """Where a service is, and an API key of it."""

    url: str
    key: str


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Service]:
    service = Service({**settings_in(folder), **settings})
    try:
        yield service
    finally:
        service.end()


def sign_in(page: Any, key: str, timeout: float = SOON) -> None:
    page.get_by_label("Key or token").fill(key)
    page.get_by_role("button", name="Show budgets").click()
    wait_until_read(page, timeout)


def wait_until_read(page: Any, timeout: float = SOON) -> None:
    page.locator("#rows[aria-busy=false] > li").first.wait_for(timeout=timeout)


def names(page: Any) -> list[str]:
    return list(page.locator("#rows h3").all_text_contents())


def wait_for_names(page: Any, names: list[str]) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#rows h3")).to_have_text(names)


def unfold(locator: Any) -> None:
    """Unfold the keys of a row, or of all rows."""
    for details in locator.locator("details").all():
        details.locator("summary").click()
        details.locator(".keys > li").first.wait_for()


def text(locator: Any) -> str:
    return " ".join(locator.inner_text().split())
