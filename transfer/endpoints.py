"""The lists of a gateway's API, in the order in which they are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PAGE = 100  # the most that gateways give at once


@dataclass(frozen=True)
class Endpoint:
    """A list of the gateway: its path, its key in the answer, and more about it."""

    path: str
    key: str
    words: str
    required: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    as_named: str = ""  # where another list has that key, too

    @property
    def name(self) -> str:
        """Return the list's name, different from those of all others."""
        return self.as_named or self.key


AT = "/api/governance"
PAGED = {"limit": str(PAGE), "offset": "0"}
FRESH = {"from_memory": "false"}
VIRTUAL_KEYS = Endpoint(
    f"{AT}/virtual-keys", "virtual_keys", "virtual keys", True, PAGED
)
TEAMS = Endpoint(f"{AT}/teams", "teams", "teams", True, FRESH)
CUSTOMERS = Endpoint(f"{AT}/customers", "customers", "customers", True, FRESH)
MODEL_CONFIGS = Endpoint(
    f"{AT}/model-configs", "model_configs", "model configs", query=PAGED
)
BUDGETS = Endpoint(f"{AT}/budgets", "budgets", "budgets")
RATE_LIMITS = Endpoint(f"{AT}/rate-limits", "rate_limits", "rate limits")
GOVERNED = Endpoint(
    f"{AT}/providers", "providers", "limits of providers", as_named="governed_providers"
)
PROVIDERS = Endpoint("/api/providers", "providers", "providers")
MCP_CLIENTS = Endpoint(
    "/api/mcp/clients", "clients", "MCP clients", as_named="mcp_clients"
)
# Those that refer to others first, so that what is made meanwhile is not missed.
ORDER = (
    *(VIRTUAL_KEYS, TEAMS, CUSTOMERS, MODEL_CONFIGS, GOVERNED, BUDGETS, RATE_LIMITS),
    *(PROVIDERS, MCP_CLIENTS),
)
