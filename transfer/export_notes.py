"""Notes on an exported config: what it leaves out, what older gateways pass over."""

from models import VirtualKey
from store.relations import Index
from store.rows import Rows
from transfer.checking import dangling, quoted
from transfer.exporting import Json


def left_out(rows: Rows, *, with_secrets: bool = False) -> list[str]:
    """Return a line for each reference that leads nowhere, and so does not go out; and,
    where values were asked for, for each that is not known here.
    """
    lines = [f"{finding}; left out" for finding in dangling(Index(rows))]
    for key in rows[VirtualKey] if with_secrets else ():
        if not key.value:
            what = "its value is not known here; loading it makes a new one"
            lines.append(f"virtual key {quoted(key.id)}: {what}")
    return lines


def named_twice(config: Json) -> list[str]:
    """Return a line for each name that gateways since July take only once."""
    lines: list[str] = []
    for noun, name in (("customer", "name"), ("team", "name"), ("team", "source_id")):
        first: dict[str, str] = {}
        for entity in config["governance"][f"{noun}s"]:
            if name not in entity:
                continue
            other = first.setdefault(entity[name], entity["id"])
            if other != entity["id"]:
                place = f"{noun} {quoted(entity['id'])}"
                what = f"its {name} is that of {quoted(other)} too"
                lines.append(f"{place}: {what}; gateways since July refuse the file")
    return lines


def passed_over(config: Json) -> list[str]:
    """Return a line for each restriction that older gateways do not know."""
    lines: list[str] = []
    governance = config["governance"]
    for name in ("customers", "teams", "virtual_keys"):
        for owner in governance[name]:
            if "budgets" in owner:
                place = f"{name.removesuffix('s').replace('_', ' ')}"
                what = "older gateways know the first of its budgets only"
                lines.append(f"{place} {quoted(owner['id'])}: {what}")
    for row in governance.get("model_configs", ()):
        place = f"model config {quoted(row['id'])}"
        if row.get("scope", "global") != "global":
            lines.append(f"{place}: older gateways take it for all virtual keys")
        if len(row["budget_ids"]) > 1:
            lines.append(f"{place}: older gateways know the first of its budgets only")
    for key in governance["virtual_keys"]:
        place = f"virtual key {quoted(key['id'])}"
        if "expires_at" in key:
            lines.append(f"{place}: older gateways let it live past its expires_at")
        for part in key["provider_configs"]:
            if part.get("blacklisted_models"):
                lines.append(f"{place}: older gateways have no blacklisted_models")
            if part.get("allow_all_keys") is False:
                lines.append(f"{place}: older gateways then allow all keys")
    for client in config["mcp"]["client_configs"]:
        if client.get("disabled"):
            lines.append(
                f"MCP client {quoted(client['name'])}: older ones disable none"
            )
    return list(dict.fromkeys(lines))
