"""Tests of report.py. The fixture `governance` comes with the package."""

import http.client
import urllib.error

import pytest
from report import over_budget


def test_a_team_over_its_budget_is_reported(governance):
    governance.team(name="Red", budget={"max_limit": 100, "current_usage": 120})
    governance.team(name="Blue", budget=100)

    assert over_budget(governance.url, governance.api_key) == ["Red: 120 of 100"]


def test_all_pages_are_read(governance):
    teams = [{"name": f"Team {number}"} for number in range(250)]
    governance.load({"teams": teams})

    over_budget(governance.url, governance.api_key)

    assert [request["query"] for request in governance.requests] == [
        "limit=100&offset=0",
        "limit=100&offset=100",
        "limit=100&offset=200",
    ]


def test_it_asks_again_while_the_database_is_unavailable(governance):
    governance.fail_next(503, times=2)

    assert over_budget(governance.url, governance.api_key) == []
    assert [r["status"] for r in governance.requests] == [503, 503, 200]


def test_it_does_not_ask_again_with_a_wrong_key(governance):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        over_budget(governance.url, "bfst-" + "x" * 44)

    assert len(governance.requests) == 1


def test_a_slow_answer_is_not_waited_for(governance):
    governance.slow_next(5)

    with pytest.raises(TimeoutError):
        over_budget(governance.url, governance.api_key, timeout=0.1)


def test_half_an_answer_is_no_answer(governance):
    governance.cut_next()

    with pytest.raises(http.client.IncompleteRead):
        over_budget(governance.url, governance.api_key)


def test_a_virtual_key_reports_its_own_team(governance):
    used_up = {"max_limit": 1, "current_usage": 2}
    red = governance.team(name="Red", budget=used_up, virtual_keys=1)
    governance.team(name="Blue", budget=used_up)

    token = governance.virtual_key_token(red["virtual_keys"][0])

    assert over_budget(governance.url, token) == ["Red: 2 of 1"]
