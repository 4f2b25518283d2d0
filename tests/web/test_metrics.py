"""/metrics: who may read it, what is counted, and that it is right with workers."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from gateway import Gateway, fill, in_all_layouts
from prometheus_client.parser import text_string_to_metric_families
from service import ROOT, Service, settings_in

from callers.api_keys import create_api_key
from web.metrics.metrics import add_metrics
from web.metrics.shared_numbers import SharedNumbers

TEAMS = "/api/governance/teams"
Labels = frozenset[tuple[str, str]]
Scrape = Callable[..., dict[tuple[str, Labels], float]]


def parsed(text: str) -> dict[tuple[str, Labels], float]:
    """All samples by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(metric: str, **labels: Any) -> tuple[str, Labels]:
    return f"governance_{metric}", frozenset((n, str(v)) for n, v in labels.items())


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    add_metrics(app)
    return app.test_client()


@pytest.fixture
def scrape(client: FlaskClient, api_key: str) -> Scrape:
    def scrape() -> dict[tuple[str, Labels], float]:
        headers = {"Authorization": f"Bearer {api_key}"}
        response = client.get("/metrics", headers=headers)
        assert response.status_code == 200
        return parsed(response.text)

    return scrape


# Who may read it


def test_without_the_option_there_are_no_metrics(app: Flask, api_key: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}

    assert app.test_client().get("/metrics", headers=headers).status_code == 404


def test_without_the_option_nothing_of_it_is_imported() -> None:
    script = (
        "import sys, app; app.create_app();"
        " print({'prometheus_client', 'web.metrics.metrics'} & {*sys.modules})"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )

    assert ran.stdout == "set()\n"


def test_metrics_need_a_credential(filled: Gateway, client: FlaskClient) -> None:
    response = client.get("/metrics")

    assert response.status_code == 401
    assert response.json is not None
    assert response.json["error"]["code"] == "missing_credentials"
    assert "budget" not in response.text


def test_an_admin_jwt_will_do(
    gateway: Gateway, client: FlaskClient, admin_jwt: str
) -> None:
    headers = {"Authorization": f"Bearer {admin_jwt}"}

    assert client.get("/metrics", headers=headers).status_code == 200


def test_a_virtual_key_will_not(filled: Gateway, client: FlaskClient) -> None:
    headers = {"Authorization": "Bearer sk-bf-key-ops-0000-fake"}

    response = client.get("/metrics", headers=headers)

    assert response.status_code == 401
    assert "management API key or admin JWT" in response.text


def test_without_authentication_loopback_clients_may_read_it(
    gateway: Gateway, make_app: Callable[..., Flask]
) -> None:
    app = make_app(GOVERNANCE_AUTH="off")
    add_metrics(app)

    assert app.test_client().get("/metrics").status_code == 200
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    response = app.test_client().get("/metrics", environ_base=elsewhere)
    assert response.status_code == 401


# What it says


def test_requests_are_counted_by_route_mode_and_status(
    gateway: Gateway, client: FlaskClient, api_key: str, scrape: Scrape
) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}
    for path in (TEAMS, TEAMS, f"{TEAMS}?from_memory=1", f"{TEAMS}?limit=x"):
        client.get(path, headers=headers)
    client.head(TEAMS, headers=headers)
    client.get("/api/governance/customers")
    client.get("/nowhere")
    client.get("/healthz")

    found = scrape()

    counts = {
        (TEAMS, "database", 200): 3,
        (TEAMS, "memory", 200): 1,
        (TEAMS, "database", 400): 1,
        ("/api/governance/customers", "database", 401): 1,
        ("other", "", 404): 1,
        ("/healthz", "", 200): 1,
    }
    assert {
        labels: value
        for (name, labels), value in found.items()
        if name == "governance_requests_total"
    } == {
        frozenset({("route", route), ("mode", mode), ("status", str(status))}): count
        for (route, mode, status), count in counts.items()
    }


def test_times_add_up_to_the_requests(
    gateway: Gateway, client: FlaskClient, scrape: Scrape
) -> None:
    for _ in range(5):
        client.get("/healthz")

    found = scrape()

    name, labels = "request_duration_seconds", {"route": "/healthz", "mode": ""}
    assert found[key(f"{name}_count", **labels)] == 5
    assert found[key(f"{name}_bucket", le="+Inf", **labels)] == 5
    assert found[key(f"{name}_bucket", le="5.0", **labels)] == 5
    assert 0 < found[key(f"{name}_sum", **labels)] < 5


def test_the_snapshots_age_size_time_and_failures(
    filled: Gateway, client: FlaskClient, scrape: Scrape
) -> None:
    before = scrape()
    filled.path.rename(filled.path.with_suffix(".gone"))
    scrape()
    after = scrape()

    assert before[key("snapshot_entities", kind="teams")] == 4
    assert before[key("snapshot_age_seconds")] == 0
    assert before[key("snapshot_duration_seconds_count")] == 1
    assert before[key("snapshot_duration_seconds_sum")] > 0
    assert before[key("snapshot_failures_total")] == 0
    assert after[key("snapshot_failures_total")] == 2
    assert key("snapshot_age_seconds") in after  # the last one is still there
    assert after[key("snapshot_entities", kind="teams")] == 4


def test_without_any_snapshot_the_rest_is_there(
    client: FlaskClient, scrape: Scrape
) -> None:
    found = scrape()

    assert found[key("snapshot_failures_total")] == 1
    assert key("snapshot_age_seconds") not in found


@in_all_layouts
def test_each_teams_and_customers_budget_is_there_and_no_keys(
    filled: Gateway, scrape: Scrape
) -> None:
    found = scrape()

    ops = {"kind": "team", "id": "acme-ops", "name": "Operations"}
    ops |= {"budget_id": "budget-ops", "period": "1d"}
    assert found[key("budget_usage", **ops)] == 99.5
    assert found[key("budget_limit", **ops)] == 100
    assert found[key("budget_reset_timestamp", **ops)] == 1775124000
    budgets = {
        dict(labels)["budget_id"]
        for name, labels in found
        if name == "governance_budget_usage"
    }
    assert budgets == {"budget-acme", "budget-ops"}


def test_budgets_follow_the_database(filled: Gateway, scrape: Scrape) -> None:
    scrape()
    filled.execute("UPDATE governance_budgets SET current_usage = 7")

    found = scrape()

    usages = {v for (n, _), v in found.items() if n == "governance_budget_usage"}
    assert usages == {7}


def test_names_may_hold_anything(gateway: Gateway, scrape: Scrape) -> None:
    gateway.team("t", None, name='a"b\\c\nd}')
    gateway.budget("b", "team_id", "t")

    names = {dict(labels).get("name") for _, labels in scrape()}

    assert 'a"b\\c\nd}' in names


def test_the_newer_format_is_given_to_who_asks_for_it(
    filled: Gateway, client: FlaskClient, api_key: str
) -> None:
    headers = {
        "Authorization": f"Bearer {api_key}",
        "Accept": "application/openmetrics-text; version=1.0.0",
    }

    response = client.get("/metrics", headers=headers)

    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


# Several processes


def test_numbers_of_forked_processes_are_added_up() -> None:
    numbers = SharedNumbers(2)
    numbers.add(0)

    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            numbers.add(0)
            numbers.add(1, 0.5)
            os._exit(0)
        os.waitpid(pid, 0)

    assert numbers.totals() == [4, 1.5]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    fill(Gateway(tmp_path / "config.db"))
    service = Service(settings_in(tmp_path), "--workers", "3", "--metrics")
    yield service
    service.end()


def test_all_workers_give_the_same_numbers(service: Service, tmp_path: Path) -> None:
    api_key = create_api_key(tmp_path / "access.db", "tests")
    for _ in range(30):  # each on a connection of its own, so that all workers answer
        assert service.request(TEAMS, api_key)[0].status == 200

    pages = [parsed(service.request("/metrics", api_key)[1].decode()) for _ in range(9)]

    teams = key("requests_total", route=TEAMS, mode="database", status=200)
    assert [page[teams] for page in pages] == [30] * 9
    scrapes = key("requests_total", route="/metrics", mode="", status=200)
    assert [page.get(scrapes, 0) for page in pages] == list(range(9))
    budgets = [
        {k: v for k, v in page.items() if k[0].startswith("governance_budget")}
        for page in pages
    ]
    assert budgets[0]
    assert all(each == budgets[0] for each in budgets)


def test_what_a_dead_worker_counted_stays(service: Service, tmp_path: Path) -> None:
    api_key = create_api_key(tmp_path / "access.db", "tests")
    for _ in range(20):
        service.request(TEAMS, api_key)
    children = Path(f"/proc/{service.ready['pid']}/task").glob("*/children")
    victim = next(pid for file in children for pid in file.read_text().split())

    os.kill(int(victim), 9)
    pages = [parsed(service.request("/metrics", api_key)[1].decode()) for _ in range(5)]

    teams = key("requests_total", route=TEAMS, mode="database", status=200)
    assert [page[teams] for page in pages] == [20] * 5


# The documentation


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "monitoring.md").read_text()


def block(page: str, first_line: str) -> str:
    """A block of YAML of the page, by its first line."""
    (found,) = re.findall(rf"```yaml\n({first_line}:.*?)```", page, re.DOTALL)
    return str(found)


def test_the_page_names_all_metrics(page: str, filled: Gateway, scrape: Scrape) -> None:
    scrape()
    names = {re.sub("_(bucket|count|sum)$", "", name) for name, _ in scrape()}

    assert {name for name in names if f"`{name}`" not in page} == set()


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_the_alert_rules_are_valid(page: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(block(page, "groups"))

    checked = subprocess.run(
        ["promtool", "check", "rules", rules], capture_output=True, text=True
    )

    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_the_scrape_config_is_valid(page: str, tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    (tmp_path / "api-key").write_text("bfst-none")
    text = block(page, "scrape_configs")
    config.write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))

    checked = subprocess.run(
        ["promtool", "check", "config", config], capture_output=True, text=True
    )

    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_promtool_finds_nothing_wrong_with_the_metrics(
    filled: Gateway, client: FlaskClient, api_key: str
) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}
    client.get("/metrics", headers=headers)
    text = client.get("/metrics", headers=headers).text

    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True
    )

    assert (checked.returncode, checked.stderr) == (0, "")
