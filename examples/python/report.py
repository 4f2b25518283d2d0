"""Which teams are over their budget: the program that is tested here."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

PAGE = 100
ATTEMPTS = 3


def over_budget(url: str, api_key: str, timeout: float = 10) -> list[str]:
    """Return a line for each team that has used more than its budget."""
    lines = []
    for team in _teams(url, api_key, timeout):
        budget = team.get("budget")
        if budget and budget["current_usage"] > budget["max_limit"]:
            used, limit = budget["current_usage"], budget["max_limit"]
            lines.append(f"{team['name']}: {used} of {limit}")
    return lines


def _teams(url: str, api_key: str, timeout: float) -> list[dict[str, Any]]:
    teams: list[dict[str, Any]] = []
    while True:
        path = f"/api/governance/teams?limit={PAGE}&offset={len(teams)}"
        page = _get(url + path, api_key, timeout)
        teams += page["teams"]
        if len(teams) >= page["total_count"]:
            return teams


def _get(url: str, api_key: str, timeout: float) -> Any:
    request = urllib.request.Request(
        url, headers={"Authorization": f"Bearer {api_key}"}
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as problem:
            with problem:
                if problem.status != 503 or attempt == ATTEMPTS:
                    raise
            time.sleep(0.01)
    return None
