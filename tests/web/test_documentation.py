"""/docs: Swagger UI, from this server alone; and what the setting turns off."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import NOTES, chromium_or_skip
from flask import Flask
from flask.testing import FlaskClient
from service import ROOT, Service, settings_in

from callers.api_keys import create_api_key
from transfer.loading import load_files

PATHS = ["/openapi.json", "/docs", "/docs/swagger-ui.css", "/docs/start.js"]


def test_everything_that_the_page_names_is_there(client: FlaskClient) -> None:
    page = client.get("/docs")

    names = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(names) == 4
    for name in names:
        assert client.get(f"/{name}").status_code == 200, name
    assert client.get("/docs/swagger-ui-bundle.js").mimetype == "text/javascript"


def test_the_page_brings_nothing_from_elsewhere(client: FlaskClient) -> None:
    page, script = client.get("/docs"), client.get("/docs/start.js")

    assert "//" not in page.text + script.text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name", ["index.css", "..%2f__init__.py", "%2e%2e/__init__.py", "x"]
)
def test_only_the_pages_own_files_are_there(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_what_the_client_has_is_not_sent_again(client: FlaskClient, path: str) -> None:
    etag = client.get(path).headers["ETag"]

    again = client.get(path, headers={"If-None-Match": etag})

    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", PATHS)
def test_the_setting_turns_all_of_it_off(
    make_app: Callable[..., Flask], path: str
) -> None:
    client = make_app(GOVERNANCE_PAGES="off").test_client()

    response = client.get(path)

    assert response.status_code == 404
    assert response.json is not None
    assert response.json["error"]["code"] == "not_found"


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    script = (
        "import sys, app; client = app.create_app().test_client();"
        " client.get('/healthz'); client.get('/docs');"
        " print({'apispec', 'web.pages.openapi', 'flask_swagger_ui'} & {*sys.modules})"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )

    assert ran.stdout == "set()\n"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    load_files([ROOT / "data" / "demo.json"], tmp_path / "config.db")
    service = Service(settings_in(tmp_path))
    yield service
    service.end()


def test_a_browser_lists_the_customers_with_a_key_under_that_policy(
    service: Service, tmp_path: Path
) -> None:
    api_key = create_api_key(tmp_path / "access.db", "tests")
    url = service.ready["url"]
    asked: list[str] = []

    with chromium_or_skip() as browser:
        page = browser.new_page()
        page.add_init_script(NOTES)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/docs")
        page.click("button.authorize")
        form = page.locator(".auth-container").first
        form.locator("input").fill(api_key)
        form.locator("button.authorize").click()
        page.locator("button.btn-done").first.click()
        page.click("#operations-lists-list_customers")
        page.click("button.try-out__btn")
        page.click("button.execute")
        answer = page.locator(".live-responses-table").first.inner_text()
        violations = page.evaluate("violations")

    assert "200" in answer
    assert "Fernhill Mutual Insurance" in answer
    assert violations == []
    elsewhere = [each for each in asked if not each.startswith((url, "data:"))]
    assert elsewhere == []
