"""The smallest things that a gateway's config.json may hold."""

from typing import Any

BUDGET = {"id": "b", "max_limit": 10, "reset_duration": "1d"}
LIMIT = {"id": "r", "token_max_limit": 10, "token_reset_duration": "1h"}
CUSTOMER = {"id": "c", "name": "Customer"}
TEAM = {"id": "t", "name": "Team"}
KEY = {"id": "v", "name": "Key"}


def governance(**parts: Any) -> dict[str, Any]:
    return {"governance": parts}
