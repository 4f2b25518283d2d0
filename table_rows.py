"""A gateway's database as plain rows, to be copied into our own."""

from typing import Any

import orjson

import values
from config_file import json_text
from draft import Draft
from file_schemas import kept_secret
from index import Index
from models import (
    MODELS,
    McpClient,
    McpConfig,
    ProviderConfig,
    ProviderConfigKey,
    ProviderKey,
)
from rows import Rows

# The columns of config_keys that hold no secret; all others do, or may.
NO_SECRETS = {
    "id",
    "name",
    "provider_id",
    "provider",
    "key_id",
    "models_json",
    "weight",
    "enabled",
    "use_for_batch_api",
    "created_at",
    "updated_at",
    "config_hash",
    "encryption_status",
}


def add_rows(draft: Draft, rows: Rows, source: str) -> None:
    """Add all rows to the draft; of providers' secrets only `env.NAME` is kept."""
    index = Index(rows)
    for model in MODELS:
        if model is ProviderConfigKey:
            continue  # goes in with the provider configs
        for row in rows[model]:
            stored: dict[str, Any] = row._asdict()
            place = f"{source}: {model._meta.table_name}[{row[0]!r}]"
            if model is ProviderKey:
                stored = _without_secrets(stored)
            elif model is McpClient:
                stored |= _client_without_secrets(stored)
            item = draft.add(model, place, stored)
            if model is ProviderConfig:
                keys = [key.id for key in index.provider_keys(row)]
                item.refers |= {
                    "provider_keys": keys,
                    "budgets": [],
                    "named_by": "keys",
                }
            elif model is McpConfig:
                number = row.mcp_client_id
                item.refers |= {"mcp_client": number, "named_by": "mcp_client_id"}


def _without_secrets(stored: dict[str, Any]) -> dict[str, Any]:
    return {
        name: each if name in NO_SECRETS else kept_secret(values.text(each))
        for name, each in stored.items()
    }


def _client_without_secrets(stored: dict[str, Any]) -> dict[str, Any]:
    address = values.mask_url(values.text(stored["connection_string"])) or None
    if stored["encryption_status"] == "encrypted":
        return {"connection_string": None, "headers_json": None}
    try:
        headers = orjson.loads(stored["headers_json"] or "{}")
        kept = json_text({name: _header(each) for name, each in headers.items()})
    except (ValueError, AttributeError, TypeError):
        kept = "{}"  # broken there, and answered as {} there as well
    return {"connection_string": address, "headers_json": kept}


def _header(stored: Any) -> str:
    named = stored.get("env_var") if isinstance(stored, dict) else stored
    return kept_secret(named or "") or "" if isinstance(named, str) else ""
