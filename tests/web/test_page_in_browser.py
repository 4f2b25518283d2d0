"""The page for people in a real browser: what it shows, and how it is operated."""

import csv
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from browser import (
    Served,
    names,
    serving,
    sign_in,
    text,
    unfold,
    wait_for_names,
    wait_until_read,
)
from credentials import SECRET
from gateway import Gateway

from callers.api_keys import create_api_key
from callers.tokens import make_token

NOW = datetime.now(UTC)
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
FORMULA = '=HYPERLINK("http://evil.example","Total")'
SCRIPT = "</script><script>document.title='owned'</script>"

Open = Callable[..., Any]


def stored(moment: datetime) -> str:
    return moment.isoformat(sep=" ")


def month_start(moment: datetime, months: int = 0) -> datetime:
    count = moment.year * 12 + moment.month - 1 + months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def fill(gateway: Gateway) -> None:
    """Budgets in all states, keys in all states, and names that attack."""
    now = stored(NOW)
    aligned = {"reset_duration": "1M", "last_reset": stored(month_start(NOW))}
    gateway.customer("acme", name="Acme Freight", calendar_aligned=1)
    gateway.customer("bad", name=HOSTILE)
    gateway.rate_limit(
        "limit",
        token_max_limit=1000,
        token_current_usage=250,
        token_reset_duration="1h",
        token_last_reset=now,
        request_max_limit=2**53 + 1,
        request_reset_duration="1d",
    )
    gateway.team("near", "acme", name="Near team", rate_limit_id="limit")
    gateway.team("over", "acme", name="Over team")
    gateway.team("calm", "acme", name="Calm team")
    gateway.team("lone", None, name="Lone team")
    gateway.team("formula", "bad", name=FORMULA)
    gateway.team("script", "bad", name=SCRIPT)
    used = {"max_limit": 200.0, "last_reset": now}
    gateway.budget(
        "b-acme", "customer_id", "acme", max_limit=1000.0, current_usage=500, **aligned
    )
    gateway.budget("b-near", "team_id", "near", current_usage=170.0, **used)
    gateway.budget("b-over", "team_id", "over", current_usage=250.5, **used)
    gateway.budget("b-lone", "team_id", "lone", current_usage=-5.0, **used)
    gateway.virtual_key("on", team_id="calm", name="Working key")
    gateway.virtual_key("off", team_id="calm", name="Stopped key", is_active=0)
    for name, days in (("soon", 3.5), ("gone", -2), ("later", 400)):
        expires = stored(NOW + timedelta(days=days))
        gateway.virtual_key(name, team_id="near", name=name, expires_at=expires)
    gateway.provider_config(1, "on")
    gateway.model_config("m-o3", "on", "o3", "openai")
    gateway.budget("b-o3", model_config_id="m-o3", current_usage=190.0, **used)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    fill(Gateway(folder / "config.db"))
    key = create_api_key(folder / "access.db", "page")
    with serving(folder, GOVERNANCE_JWT_SECRET=SECRET) as service:
        yield Served(service.ready["url"], key)


@pytest.fixture
def entrance(new_page: Open, service: Served) -> Any:
    return new_page(service.url)


@pytest.fixture
def page(entrance: Any, service: Served) -> Any:
    """The page with all that it shows to a management API key."""
    sign_in(entrance, service.key)
    return entrance


def row(page: Any, name: str) -> Any:
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.locator("#rows > li").filter(has=heading)


# What it shows


def test_customers_come_with_their_teams_after_them(page: Any) -> None:
    calm = ["Calm team", "Near team", "Over team"]
    hostile = [HOSTILE, SCRIPT, FORMULA]

    assert sorted(names(page)[:3]) == sorted(hostile)
    assert names(page)[3:] == ["Acme Freight", *calm, "Lone team"]
    assert "Team of Acme Freight" in text(row(page, "Near team"))
    assert "Team without a customer" in text(row(page, "Lone team"))


@pytest.mark.parametrize(
    ("name", "value", "words", "shown"),
    [
        ("Acme Freight", "50", "50 %", "$500.00 of $1,000.00 per month"),
        ("Near team", "85", "85 %, near the limit", "$170.00 of $200.00 per day"),
        ("Over team", "100", "125 %, over the limit", "$250.50 of $200.00 per day"),
        ("Lone team", "0", "-3 %", "-$5.00 of $200.00 per day"),
    ],
)
def test_a_budgets_use_is_a_bar_and_words(
    page: Any, name: str, value: str, words: str, shown: str
) -> None:
    bar = row(page, name).get_by_role("meter", name=f"Budget of {name}", exact=True)

    assert bar.get_attribute("aria-valuenow") == value
    assert bar.get_attribute("aria-valuetext") == words
    assert f"Budget {shown}" in text(row(page, name))
    widths = bar.evaluate("bar => [bar.firstChild.offsetWidth, bar.offsetWidth]")
    assert widths[0] / widths[1] == pytest.approx(int(value) / 100, abs=0.02)


def test_what_is_near_or_over_has_words_and_a_pattern_not_a_colour_alone(
    page: Any,
) -> None:
    def pattern(name: str) -> str:
        bar = row(page, name).get_by_role("meter", name=f"Budget of {name}")
        style = "bar => getComputedStyle(bar.firstChild).backgroundImage"
        return str(bar.evaluate(style))

    assert "▲ near the limit" in text(row(page, "Near team"))
    assert "✖ over the limit" in text(row(page, "Over team"))
    assert pattern("Acme Freight") == "none"
    assert "gradient" in pattern("Near team")
    assert "gradient" in pattern("Over team")
    assert pattern("Near team") != pattern("Over team")


def test_a_reset_is_shown_when_it_comes(page: Any) -> None:
    month = month_start(NOW, 1)
    tomorrow = NOW + timedelta(days=1)

    aligned, rolling = text(row(page, "Acme Freight")), text(row(page, "Near team"))

    assert f"Resets {month.day} {month:%b %Y}, 00:00 (" in aligned
    assert f"Resets {tomorrow.day} {tomorrow:%b %Y}, {tomorrow:%H:%M} (" in rolling


# What is aligned begins anew with its unit, whatever the number; months are otherwise
# 30 days. These are the rules of snapshot/resets.py.
@pytest.mark.parametrize(
    ("duration", "aligned", "due"),
    [
        ("1h30m", False, "2026-11-18T16:10:20.500Z"),
        ("1.5h", False, "2026-11-18T16:10:20.500Z"),
        ("90s", True, "2026-11-18T14:41:50.500Z"),
        ("1d", False, "2026-11-19T14:40:20.500Z"),
        ("1M", False, "2026-12-18T14:40:20.500Z"),
        ("1Q", False, "2027-02-16T14:40:20.500Z"),
        ("1d", True, "2026-11-19T00:00:00.000Z"),
        ("1w", True, "2026-11-23T00:00:00.000Z"),
        ("3M", True, "2026-12-01T00:00:00.000Z"),
        ("1Q", True, "2027-01-01T00:00:00.000Z"),
        ("1Y", True, "2027-01-01T00:00:00.000Z"),
        ("soon", False, None),
        ("0d", False, None),
        ("", True, None),
    ],
)
def test_a_reset_follows_the_gateways_rules(
    entrance: Any, duration: str, aligned: bool, due: str | None
) -> None:
    last = "2026-11-18T14:40:20.5Z"  # a Wednesday
    script = "([d, a, l]) => nextReset(d, a, new Date(l))?.toISOString() ?? null"

    assert entrance.evaluate(script, [duration, aligned, last]) == due


def test_rate_limits_are_shown(page: Any) -> None:
    near = text(row(page, "Near team"))

    assert "Tokens 250 of 1,000 per hour" in near
    assert "Requests 0 of 9,007,199,254,740,993 per day" in near


def test_keys_that_are_off_or_near_expiry_are_named(page: Any) -> None:
    near, calm = row(page, "Near team"), row(page, "Calm team")
    summary = "3 virtual keys · ✖ 1 expired · ▲ 1 near expiry"
    assert text(near.locator("summary")) == summary
    assert text(calm.locator("summary")) == "2 virtual keys · ✖ 1 off"

    unfold(near)
    unfold(calm)

    keys = [" ".join(k.split()) for k in near.locator(".keys > li").all_inner_texts()]
    gone, later, soon = sorted(keys)
    assert gone.startswith("gone ✖ expired ")
    assert re.match(r"later expires \d", later)
    assert soon.startswith("soon ▲ expires in 3 days, ")
    assert "Stopped key ✖ switched off" in text(calm)


def test_a_models_budget_is_shown_with_the_key_and_of_its_team_if_it_is_tight(
    page: Any,
) -> None:
    calm = row(page, "Calm team")
    tight = "Budget · key “Working key” · openai · o3 $190.00 of $200.00 per day"
    assert tight in text(calm)

    unfold(calm)

    key = text(calm.locator(".keys"))
    assert "Budget · openai · o3 $190.00 of $200.00 per day 95 %" in key


def test_names_that_attack_are_text(page: Any) -> None:
    assert {HOSTILE, SCRIPT, FORMULA} <= set(names(page))
    assert page.title() == "Budgets of customers and teams"
    assert page.locator("#rows img, #rows script").count() == 0
    assert page.complaints == []
    assert page.evaluate("violations") == []


def test_the_browser_itself_refuses_text_as_html(page: Any) -> None:
    set_html = "try { document.body.innerHTML = '<b>' } catch (error) { error.name }"

    assert page.evaluate(f"eval({set_html!r})") == "TypeError"


def test_no_virtual_keys_value_is_in_the_page(page: Any) -> None:
    unfold(page)

    assert "sk-bf-" not in page.locator("#lists").inner_html()


# The key


def test_the_key_is_nowhere_but_in_the_tabs_memory(page: Any, service: Served) -> None:
    stored = "[localStorage.length, sessionStorage.length, document.cookie]"

    assert page.get_by_label("Key or token").input_value() == ""
    assert page.evaluate(stored) == [0, 0, ""]
    assert page.evaluate("caches.keys()") == []
    assert page.evaluate("indexedDB.databases()") == []
    assert page.url == f"{service.url}/"
    assert service.key not in page.content()


def test_a_reloaded_page_asks_for_the_key(page: Any) -> None:
    page.reload()

    assert page.get_by_label("Key or token").is_visible()
    assert page.get_by_label("Key or token").input_value() == ""
    assert names(page) == []


def test_the_key_can_be_forgotten(page: Any) -> None:
    page.get_by_role("button", name="Forget the key").click()

    assert page.get_by_label("Key or token").is_visible()
    assert names(page) == []
    assert page.evaluate("[key, entities.length, matching.length]") == ["", 0, 0]


def test_what_is_read_does_not_go_into_the_browsers_cache(
    entrance: Any, service: Served
) -> None:
    with entrance.expect_request("**/api/governance/customers?*") as asked:
        sign_in(entrance, service.key)

    headers = asked.value.all_headers()
    assert headers["authorization"] == f"Bearer {service.key}"
    assert headers["cache-control"] == "no-cache"
    # `no-store` asks without a tag, ever.
    entrance.get_by_role("button", name="Read again").click()
    wait_until_read(entrance)
    assert "if-none-match" not in headers


def test_an_admin_sees_all_teams_without_being_refused(
    entrance: Any, service: Served
) -> None:
    refused: list[int] = []
    entrance.on("response", lambda r: r.status >= 400 and refused.append(r.status))

    sign_in(entrance, make_token(SECRET.encode(), "admin", "admin", 600))

    assert {"Lone team", "Near team", "Acme Freight", HOSTILE} <= set(names(entrance))
    assert len(names(entrance)) == 8
    assert refused == []


def test_a_virtual_key_sees_its_customers_teams(entrance: Any) -> None:
    sign_in(entrance, "sk-bf-on-0000-fake")

    calm = ["Calm team", "Near team", "Over team"]
    assert names(entrance) == ["Acme Freight", *calm]


def test_who_may_not_list_customers_sees_teams(entrance: Any, service: Served) -> None:
    body = '{"error": {"message": "Customers are not for you."}}'
    entrance.route("**/customers?*", lambda r: r.fulfill(status=403, body=body))

    sign_in(entrance, service.key)

    assert len(names(entrance)) == 8


# Failures


def complaint(page: Any) -> str:
    page.locator("#problem.alert").wait_for()
    return text(page.get_by_role("alert"))


def try_key(page: Any, key: str) -> str:
    page.get_by_label("Key or token").fill(key)
    page.keyboard.press("Enter")
    return complaint(page)


def test_a_wrong_key_is_refused_in_a_sentence(entrance: Any) -> None:
    words = try_key(entrance, "bfst-wrong")

    assert words.startswith("This key does not open the lists. ")
    assert "bfst-wrong" not in words
    assert entrance.get_by_label("Key or token").is_visible()
    focused = entrance.evaluate("document.activeElement.id")
    assert focused == "key"


def test_what_is_no_key_is_not_sent(entrance: Any) -> None:
    sent: list[str] = []
    entrance.on("request", lambda request: sent.append(request.url))

    words = try_key(entrance, "bfst-ключ")

    assert words.startswith("This is no key")
    assert sent == []


def test_a_service_without_the_need_for_a_key_is_shown_without_one(
    entrance: Any, tmp_path: Path
) -> None:
    Gateway(tmp_path / "config.db").team("red", "gone", name="Red")
    with serving(tmp_path, GOVERNANCE_AUTH="off") as service:
        entrance.goto(service.ready["url"])

        sign_in(entrance, "")

        assert names(entrance) == ["Red"]
        assert "Team of gone" in text(row(entrance, "Red"))


def test_a_key_may_be_pasted_with_its_scheme(entrance: Any, service: Served) -> None:
    sign_in(entrance, f" Bearer {service.key}\t")

    assert len(names(entrance)) == 8


def test_no_key_where_one_is_needed_is_a_sentence(entrance: Any) -> None:
    assert try_key(entrance, "").startswith("This key does not open the lists. ")


def test_a_database_that_cannot_be_read_is_a_sentence(
    entrance: Any, service: Served
) -> None:
    body = '{"error": {"message": "The database is locked."}}'
    answer = {"status": 503, "headers": {"Retry-After": "2"}, "body": body}
    entrance.route("**/api/**", lambda route: route.fulfill(**answer))

    assert try_key(entrance, service.key) == (
        "The service cannot answer just now. The database is locked."
        " Try again in 2 seconds."
    )


def test_a_service_that_is_gone_is_a_sentence(entrance: Any, service: Served) -> None:
    entrance.route("**/api/**", lambda route: route.abort())

    words = try_key(entrance, service.key)

    assert words.startswith("The service cannot be reached.")


def test_an_answer_that_is_no_json_is_a_sentence(
    entrance: Any, service: Served
) -> None:
    answer = {"status": 502, "body": "<h1>Bad gateway</h1>"}
    entrance.route("**/api/**", lambda route: route.fulfill(**answer))

    words = try_key(entrance, service.key)

    assert words.endswith("cannot be read (status 502).")


def test_what_was_read_stays_when_reading_again_fails(page: Any) -> None:
    page.route("**/api/**", lambda route: route.abort())

    page.get_by_role("button", name="Read again").click()

    assert complaint(page).endswith("What is shown may be old, or not all.")
    assert len(names(page)) == 8


def test_a_key_that_is_refused_meanwhile_is_asked_for_anew(page: Any) -> None:
    body = '{"error": {"message": "The API key is revoked."}}'
    page.route("**/api/**", lambda route: route.fulfill(status=401, body=body))

    page.get_by_role("button", name="Read again").click()

    words = "This key does not open the lists. The API key is revoked."
    assert complaint(page) == words
    page.locator("#key:focus").wait_for()
    assert names(page) == []


def test_reading_again_shows_what_changed_and_keeps_what_is_unfolded(
    entrance: Any, tmp_path: Path
) -> None:
    gateway = Gateway(tmp_path / "config.db")
    gateway.team("red", name="Red")
    gateway.virtual_key("k", team_id="red")
    key = create_api_key(tmp_path / "access.db", "page")
    with serving(tmp_path) as service:
        entrance.goto(service.ready["url"])
        sign_in(entrance, key)
        unfold(entrance)
        gateway.team("blue", name="Blue")

        entrance.get_by_role("button", name="Read again").click()
        entrance.get_by_role("heading", name="Blue").wait_for()

        assert names(entrance) == ["Blue", "Red"]
        assert text(entrance.locator(".keys")).startswith("Key k")


# Search, order, CSV


def test_search_finds_customers_teams_and_keys(page: Any) -> None:
    field = page.get_by_label("Search", exact=True)
    field.fill("NEAR t")
    wait_for_names(page, ["Near team"])
    assert "0 customers and 1 team shown of 8" in text(page.get_by_role("status"))
    field.fill("stopped")
    wait_for_names(page, ["Calm team"])
    field.fill("acme")
    wait_for_names(page, ["Acme Freight", "Calm team", "Near team", "Over team"])
    field.fill("nobody")
    wait_for_names(page, [])
    assert page.get_by_role("button", name="Download CSV").is_disabled()
    field.fill("")
    page.get_by_role("heading", name="Lone team").wait_for()
    assert len(names(page)) == 8


def test_rows_are_sorted_by_use_or_by_name(page: Any) -> None:
    page.get_by_label("Sort by", exact=True).select_option("use")
    by_use = names(page)
    page.get_by_label("Sort by", exact=True).select_option("name")
    by_name = names(page)

    # The calm team has a key with a budget of 95 %.
    first = ["Over team", "Calm team", "Near team", "Acme Freight"]
    assert by_use[:4] == first
    assert [n for n in by_name if n[0].isalpha()] == sorted([*first, "Lone team"])


def test_rows_can_be_those_that_matter(page: Any) -> None:
    page.get_by_label("Show", exact=True).select_option("tight")
    tight = names(page)
    page.get_by_label("Show", exact=True).select_option("keys")
    keys = names(page)

    assert tight == ["Calm team", "Near team", "Over team"]
    assert keys == ["Calm team", "Near team"]


def download(page: Any, path: Path) -> list[dict[str, str]]:
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Download CSV").click()
    downloaded.value.save_as(path)
    assert re.fullmatch(
        r"budgets-\d{4}-\d\d-\d\d\.csv", downloaded.value.suggested_filename
    )
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_the_csv_has_a_row_for_each_budget_and_limit(page: Any, tmp_path: Path) -> None:
    rows = download(page, tmp_path / "all.csv")

    by_id = {row["id"]: row for row in rows if row["what"] == "budget"}
    assert set(by_id) == {"b-acme", "b-near", "b-over", "b-lone", "b-o3"}
    over = by_id["b-over"]
    assert (over["customer"], over["team"]) == ("Acme Freight", "Over team")
    assert (over["used"], over["limit"]) == ("250.5", "200")
    assert (over["percent"], over["state"]) == ("125", "over")
    acme = by_id["b-acme"]
    assert (acme["team"], acme["calendar_aligned"]) == ("", "true")
    assert acme["next_reset"] == month_start(NOW, 1).strftime("%Y-%m-%dT00:00:00.000Z")
    model = by_id["b-o3"]
    assert (model["virtual_key"], model["model"]) == ("Working key", "o3")
    (tokens,) = [row for row in rows if row["what"] == "tokens"]
    assert (tokens["used"], tokens["limit"]) == ("250", "1000")
    (requests,) = [row for row in rows if row["what"] == "requests"]
    assert requests["limit"] == "9007199254740993"
    states = {row["virtual_key"]: row["key_state"] for row in rows}
    assert states["Stopped key"] == "off"
    assert (states["soon"], states["gone"]) == ("expiring", "expired")


def test_the_csv_has_what_is_shown_and_no_formula(page: Any, tmp_path: Path) -> None:
    page.get_by_label("Search", exact=True).fill("hyperlink")
    wait_for_names(page, [FORMULA])

    (row,) = download(page, tmp_path / "one.csv")

    assert row["team"] == f"'{FORMULA}"
    assert row["customer"] == HOSTILE


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", '"\'=1+1"'),
        ("+1", '"\'+1"'),
        ("-1", '"\'-1"'),
        ("@SUM(A1)", '"\'@SUM(A1)"'),
        ("  =1", '"\'  =1"'),
        ("\t1", '"\'\t1"'),
        ("＝1", '"\'＝1"'),
        (-1, '"-1"'),
        ('say "a,b"', '"say ""a,b"""'),
        ("a=b", '"a=b"'),
        (None, '""'),
    ],
)
def test_a_cell_is_quoted_and_no_formula(
    entrance: Any, value: Any, written: str
) -> None:
    assert entrance.evaluate("value => cell(value)", value) == written


# Operating it


def test_all_can_be_done_with_the_keyboard(entrance: Any, service: Served) -> None:
    keyboard = entrance.keyboard
    entrance.locator("#key:focus").wait_for()
    keyboard.insert_text(service.key)
    keyboard.press("Enter")
    wait_until_read(entrance)
    assert entrance.evaluate("document.activeElement.id") == "lists-title"

    keyboard.press("Tab")
    keyboard.insert_text("calm")
    entrance.get_by_role("status").get_by_text("1 team shown of 8").wait_for()
    stops = []
    for _ in range(5):
        keyboard.press("Tab")
        stops.append(entrance.evaluate("document.activeElement.id"))
    with entrance.expect_download():
        entrance.locator("#csv").press("Enter")
    entrance.locator("#forget").focus()
    keyboard.press("Tab")
    keyboard.press("Enter")
    entrance.locator(".keys > li").first.wait_for()

    assert stops == ["show", "sort", "csv", "refresh", "forget"]
    assert entrance.locator("details[open]").count() == 1
    assert "Stopped key" in text(entrance.locator(".keys"))
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert entrance.evaluate(outline) == "solid"


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_scrolls_sideways(new_page: Open, service: Served, width: int) -> None:
    page = new_page(service.url, viewport={"width": width, "height": 640})
    room = "[document.documentElement.scrollWidth, innerWidth]"
    at_the_entrance = page.evaluate(room)

    sign_in(page, service.key)
    unfold(page)

    assert at_the_entrance == [width, width]
    assert page.evaluate(room) == [width, width]


def test_it_is_dark_where_the_system_is(new_page: Open, service: Served) -> None:
    def ground(scheme: str) -> str:
        page = new_page(service.url, color_scheme=scheme)
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert ground("light") == "rgb(255, 255, 255)"
    assert ground("dark") == "rgb(20, 23, 27)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_axe_finds_nothing(
    new_page: Open, service: Served, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = new_page(
        service.url,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    entrance = axe.run(page)
    try_key(page, "bfst-wrong")
    refused = axe.run(page)

    sign_in(page, service.key)
    unfold(page)
    lists = axe.run(page)

    for found in (entrance, refused, lists):
        assert found.violations_count == 0, found.generate_report()
    passed = {rule["id"] for rule in lists.response["passes"]}
    assert {"color-contrast", "aria-meter-name", "label", "region"} <= passed


def test_rows_are_announced_and_have_landmarks(page: Any) -> None:
    for role in ("banner", "main", "contentinfo", "search"):
        assert page.get_by_role(role).count() == 1
    assert page.get_by_role("region", name="Customers and teams").count() == 1
    assert text(page.get_by_role("status")) == (
        "2 customers and 6 teams shown; 3 with a budget near or over its limit."
    )
