"""The page for people over 1,200 teams: read in pages, rendered in steps."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import Served, names, serving, sign_in, text, wait_until_read
from credentials import SECRET

from callers.api_keys import create_api_key
from callers.tokens import make_token
from samples.generating import generate

LONG = 60_000  # milliseconds, beside other tests on the same processors

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Served]:
    """A service over 1,200 teams, some of which have no customer."""
    folder = tmp_path_factory.mktemp("many")
    generate(folder / "config.db", customers=60, teams=20, keys=2)
    key = create_api_key(folder / "access.db", "page")
    with serving(folder, GOVERNANCE_JWT_SECRET=SECRET) as service:
        yield Served(service.ready["url"], key)


def test_1200_teams_are_read_in_pages_and_rendered_in_steps(
    new_page: Open, many: Served
) -> None:
    page = new_page(many.url)
    queries: list[str] = []
    page.on("request", lambda request: queries.append(request.url.partition("?")[2]))

    page.get_by_label("Key or token").fill(many.key)
    page.keyboard.press("Enter")
    page.locator("#rows > li").first.wait_for(timeout=5000)
    wait_until_read(page, LONG)

    status = page.get_by_role("status")
    assert text(status).startswith("60 customers and 1,200 teams shown;")
    assert all(re.fullmatch(r"limit=\d+&offset=\d+", query) for query in queries)
    assert len(names(page)) <= 100  # more are made when they are scrolled to
    assert page.complaints == []
    assert page.evaluate("violations") == []

    page.evaluate("longTasks.length = 0")
    page.get_by_label("Sort by", exact=True).select_option("use")
    page.get_by_label("Search", exact=True).fill("a")
    status.get_by_text("shown of 1,260").wait_for()
    page.get_by_label("Search", exact=True).fill("")
    status.get_by_text("1,200 teams shown;").wait_for()
    for _ in range(5):
        page.mouse.wheel(0, 6000)
        page.wait_for_timeout(50)

    assert len(names(page)) > 100
    page.get_by_label("Sort by", exact=True).select_option("name")
    assert len(names(page)) <= 100  # from the start
    # Milliseconds, beside other tests on the same processors.
    assert max(page.evaluate("longTasks"), default=0) < 400


def test_a_token_finds_all_of_1200_teams_too(new_page: Open, many: Served) -> None:
    page = new_page(many.url)

    sign_in(page, make_token(SECRET.encode(), "admin", "admin", 600), LONG)

    assert "and 1,200 teams shown" in text(page.get_by_role("status"))


def test_show_more_goes_on_where_the_rows_ended(new_page: Open, many: Served) -> None:
    page = new_page(many.url)
    sign_in(page, many.key, LONG)
    before = len(names(page))

    page.get_by_role("button", name="Show more").press("Enter")
    page.locator("#rows h3:focus").wait_for()

    # Scrolling to the button made rows, too; what it makes follows them.
    focused = page.evaluate("document.activeElement.textContent")
    assert focused in names(page)[before:]
