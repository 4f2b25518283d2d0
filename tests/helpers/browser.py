"""A headless Chromium for the tests of the page: the system's, by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

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
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
