"""Odd databases: what gateways and the people who edit their files leave behind."""

from collections.abc import Callable

from gateway import T1, T2, T3, Gateway

from models import Provider

SECRET = "a-secret-of-a-provider"


def one_key(gateway: Gateway) -> None:
    gateway.customer("c")
    gateway.team("t", "c")
    gateway.virtual_key("v", team_id="t")


def dangling(gateway: Gateway) -> None:
    gone = {"rate_limit_id": "gone", "budget_id": "gone"}
    gateway.customer("c", **gone)
    gateway.team("t", "gone", **gone)
    gateway.team("u", "c", **gone)
    gateway.virtual_key("v", team_id="u", customer_id="gone", **gone)
    gateway.virtual_key("w", team_id="gone", customer_id="c")
    gateway.provider_key(3, provider_id=77)
    gateway.provider_config(5, "v", (3, 99), **gone)
    gateway.provider_config(6, "gone")
    gateway.mcp_config(4, "v", 99)
    gateway.budget("b", "team_id", "u" if gateway.layout == "april" else "gone")


def nulls(gateway: Gateway) -> None:
    never = {"created_at": None, "updated_at": None}
    gateway.customer("c", name=None, **never)
    gateway.rate_limit("r", token_current_usage=None, request_current_usage=None)
    gateway.team("t", "c", name=None, profile=None, rate_limit_id="r", **never)
    gateway.virtual_key("v", team_id="t", is_active=None, **never)
    gateway.execute("UPDATE governance_virtual_keys SET value = NULL, name = NULL")
    gateway.provider_key(1, value=None, enabled=None, **never)
    gateway.provider_config(1, "v", (1,), provider=None)
    gateway.mcp_client(1, connection_type=None, **never)
    gateway.mcp_config(1, "v", 1)
    unset = {"max_limit": None, "reset_duration": None, "current_usage": None}
    gateway.budget("b", "team_id", "t", last_reset=None, **unset, **never)


def numbers(gateway: Gateway) -> None:
    gateway.customer("c")
    whole = '{"a": 1.0, "b": 1e300, "c": 9007199254740993, "d": 0.1, "e": -0.0}'
    gateway.rate_limit(
        "r",
        **{"token_max_limit": 0, "token_current_usage": 2**63 - 1},
        **{"request_max_limit": -3, "request_current_usage": -2},
        token_reset_duration="soon",
    )
    gateway.virtual_key("v", customer_id="c")
    amounts = [(0, -1), (-5, 1e300), (0.1 + 0.2, 1e-320), (1e19, 1e22)]
    amounts += [(2**53 + 1, 0.5), ("a lot", float("inf"))]
    for number, (limit, usage) in enumerate(amounts):
        team = f"t{number}"
        gateway.team(team, "c", profile=whole, rate_limit_id="r")
        amount = {"max_limit": limit, "current_usage": usage}
        gateway.budget(f"b{number}", "team_id", team, **amount)
    gateway.provider_key(-4, weight=-0.5)
    gateway.provider_config(0, "v", (-4,), weight=-1)
    gateway.provider_config(2**62, "v")
    gateway.provider_config(-7, "v")


def times(gateway: Gateway) -> None:
    one_key(gateway)
    zero = "0001-01-01 00:00:00+00:00"
    gateway.team("z", "c", created_at=zero, updated_at=zero)
    gateway.team("y", "c", created_at="yesterday", updated_at=T3)
    gateway.team("x", "c", created_at="2026-04-01 10:00:00.5 +0200 CEST m=+0.1")
    gateway.virtual_key(
        "w", team_id="z", created_at="9999-12-31 23:59:59.999999999+00:00"
    )
    gateway.budget("b", "team_id", "z", last_reset=zero)


def encrypted(gateway: Gateway) -> None:
    one_key(gateway)
    for key in ("w", "x"):
        gateway.virtual_key(key, team_id="t", encryption_status="encrypted")
    gateway.mcp_client(
        1,
        encryption_status="encrypted",
        connection_string="cipher text",
        headers_json="cipher text",
    )
    gateway.mcp_config(1, "v", 1)


def mcp(gateway: Gateway) -> None:
    one_key(gateway)
    told = {"value": SECRET, "env_var": "env.H", "from_env": True}
    untold = {"value": SECRET, "env_var": "", "from_env": False}
    gateway.mcp_client(
        9,
        connection_string="env.TICKETS",
        stdio_config_json={"command": "run", "args": ["é"], "envs": None},
        tls_config_json={"insecure_skip_verify": True},
        headers_json={"A": told, "B": untold, "C": 5, "D": "", "E": SECRET},
        tool_pricing_json={"search": 0.0, "find": 1.5},
        tools_to_execute_json=["*"],
        per_user_header_keys_json=["X-User"],
        **{"is_code_mode_client": 1, "disabled": 1, "allow_on_all_virtual_keys": 1},
    )
    gateway.mcp_config(5, "v", 9, tools_to_execute=["search"])
    gateway.mcp_config(1, "v", 9)


def broken(gateway: Gateway) -> None:
    one_key(gateway)
    for column in ("profile", "config", "claims"):
        gateway.execute(f"UPDATE governance_teams SET {column} = '{{broken'")
    gateway.virtual_key("w", team_id="t", is_active="maybe")
    gateway.provider_key(1, models_json="broken", enabled="perhaps")
    gateway.provider_config(1, "v", (1,), allowed_models='{"a": 1}')
    gateway.mcp_client(3, headers_json="{broken", stdio_config_json="[]")
    gateway.execute("UPDATE config_mcp_clients SET tools_to_execute_json = '[1]'")
    gateway.mcp_config(2, "v", 3, tools_to_execute="broken")


def aligned(gateway: Gateway) -> None:
    gateway.customer("c", calendar_aligned=1)
    gateway.team("t", "c", calendar_aligned=1)
    gateway.virtual_key("v", team_id="t", calendar_aligned=1)
    gateway.provider_config(1, "v")
    gateway.budget("b1", "customer_id", "c", calendar_aligned=1)
    gateway.budget("b2", "team_id", "t", calendar_aligned=0)
    gateway.budget("b3", "virtual_key_id", "v", calendar_aligned=0)
    gateway.budget("b4", "provider_config_id", 1, calendar_aligned=1)


def names(gateway: Gateway) -> None:
    gateway.customer("客户", name="客户 \u2028 🔑 'q' \"d\" \\ \x01")
    gateway.team("çà", "客户", name="x" * 5000, profile={"ключ": "знач\0"})
    gateway.virtual_key("🔑", team_id="çà", description="\n\t<&>", value="sk-bf-é")


def attached(gateway: Gateway) -> None:
    one_key(gateway)
    gateway.add(Provider, id=7, name="openai")
    gateway.provider_key(1, provider_id=7)
    gateway.provider_key(2, "azure", provider_id=7)
    gateway.provider_key(4, "", provider_id=7, value="", azure_endpoint="")
    gateway.provider_config(1, "v", (1,), allow_all_keys=1, blacklisted_models=["x"])
    gateway.provider_config(2, "v", allow_all_keys=0)
    gateway.provider_config(3, "v", (4, 2))
    gateway.virtual_key("w", team_id="t", customer_id="c")


def shared_by_two_teams(gateway: Gateway) -> None:
    one_key(gateway)
    gateway.team("u", "c", created_at=T1)
    gateway.budget("b", "team_id", "t")
    if gateway.layout != "july":
        gateway.execute("UPDATE governance_teams SET budget_id = 'b'")


def shared_by_a_team_and_its_key(gateway: Gateway) -> None:
    one_key(gateway)
    gateway.budget("b", "team_id", "t")
    if gateway.layout != "july":
        gateway.execute("UPDATE governance_virtual_keys SET budget_id = 'b'")
    else:
        gateway.execute("UPDATE governance_budgets SET virtual_key_id = 'v'")


def provider_unset(gateway: Gateway) -> None:
    one_key(gateway)
    gateway.add(Provider, id=1, name="openai")
    gateway.provider_key(1, provider_id=0)
    gateway.provider_key(2, provider_id=None)
    gateway.provider_key(3, provider=None, provider_id=5)
    gateway.provider_config(1, "v", (1, 2, 3))


ODD: dict[str, Callable[[Gateway], None]] = {
    build.__name__: build
    for build in (
        *(dangling, nulls, numbers, times, encrypted, mcp, broken, aligned, names),
        *(attached, shared_by_two_teams, shared_by_a_team_and_its_key),
        provider_unset,
    )
}


def add_odd_rows(gateway: Gateway) -> None:
    """Rows that refer to nothing, to each other, or hold what can hardly be read."""
    gateway.customer("", name="no id")
    gateway.customer("weird", name='"\\\u0000\u2028</script>', rate_limit_id="gone")
    gateway.team("weird", "weird", profile="{", config="[]", claims='{"a":1.0}')
    gateway.team("orphan", "gone", created_at="yesterday", name=None)
    gateway.team("nulls", None, name=None, created_at=None, updated_at=None)
    gateway.virtual_key("both", team_id="weird", customer_id="weird", is_active="?")
    gateway.virtual_key("elsewhere", team_id="weird", customer_id="acme")
    gateway.virtual_key("dangling", team_id="orphan", rate_limit_id="gone", value="s")
    gateway.virtual_key("cipher", team_id="weird", encryption_status="encrypted")
    gateway.virtual_key("none", team_id="nulls", value="", value_hash=None)
    gateway.provider_key(7, provider="", provider_id=404, models_json="[1]")
    gateway.provider_key(8, provider=None, enabled=None, weight="heavy")
    gateway.provider_config(70, "both", (7, 8, 404), weight=0.1, allowed_models="x")
    gateway.provider_config(71, "both", rate_limit_id="limit-1")
    gateway.mcp_client(7, name='m"', stdio_config_json={"command": 5, "args": ["a"]})
    gateway.mcp_client(8, encryption_status="encrypted", connection_string="Y2lwaGVy")
    gateway.mcp_config(70, "both", 7, tools_to_execute="*")
    gateway.mcp_config(71, "both", 404)
    gateway.mcp_config(72, "both", 8)
    gateway.budget("of-both", "virtual_key_id", "both", created_at=T2)
    gateway.budget("of-config", "provider_config_id", 70, max_limit="much")
    gateway.budget("of-weird", "customer_id", "weird", current_usage=2**53 + 1)
    gateway.budget("of-nobody", calendar_aligned=1)
    gateway.model_config("all", "both", rate_limit_id="gone", calendar_aligned="?")
    gateway.model_config("some", "both", None, "openai", created_at="yesterday")
    gateway.model_config("o3", "elsewhere", "o3", "", rate_limit_id="limit-1")
    gateway.model_config("elsewhere", "key-acme", scope="global")
    gateway.budget("of-all", model_config_id="all", created_at=T1)
    gateway.budget("of-o3", model_config_id="o3", customer_id="acme")
