"""Fields dump what columns store and load what files say, each in words of its own."""

from typing import Any

import pytest
from marshmallow import Schema, ValidationError
from marshmallow.fields import Field

import fields
from fields import LEFT_OUT
from models import (
    MODELS,
    McpClient,
    McpConfig,
    Provider,
    ProviderConfig,
    ProviderKey,
    column_names,
)
from transfer.config_schemas import SCHEMAS, loader, stored_fields

TIME = "2026-04-01 10:00:00.5+00:00"
SHOWN_TIME = "2026-04-01T10:00:00.5Z"


def schema_of(field: Field) -> Schema:
    return Schema.from_dict({"member": field})()


def dumped(field: Field, stored: Any) -> Any:
    return schema_of(field).dump({"member": stored}).get("member", LEFT_OUT)


def loaded(field: Field, given: Any) -> Any:
    return schema_of(field).load({"member": given})["member"]


BOTH_WAYS: list[tuple[Field, Any, Any]] = [
    (fields.Text(), "Äpfel", "Äpfel"),
    (fields.NonEmpty(), "acme", "acme"),
    (fields.Duration(), "1h30m", "1h30m"),
    (fields.Number(), 2**63 - 1, 2**63 - 1),
    (fields.Number(), 0.5, 0.5),
    (fields.Flag(), True, True),
    (fields.Timestamp(), TIME, SHOWN_TIME),
    (fields.Expiry(), TIME, SHOWN_TIME),
    (fields.JsonText(dict), '{"tier":"gold"}', {"tier": "gold"}),
    (fields.TextList(), '["gpt-5","o3"]', ["gpt-5", "o3"]),
    (fields.Secret(), "env.KEY", "env.KEY"),
    (fields.Secret(), "vault.kv/key", "vault.kv/key"),
    (fields.SecretHeaders(), '{"A":"env.A"}', {"A": "env.A"}),
    (fields.ConnectionString(), "https://***@h/?k=***", "https://***@h/?k=***"),
    (fields.Command(), "npx", "npx"),
    (fields.Certificate(), "-----BEGIN CERTIFICATE", "-----BEGIN CERTIFICATE"),
]


@pytest.mark.parametrize(("field", "stored", "said"), BOTH_WAYS)
def test_a_field_loads_again_what_it_dumps(
    field: Field, stored: Any, said: Any
) -> None:
    assert dumped(field, stored) == said
    assert loaded(field, said) == stored


@pytest.mark.parametrize(
    ("field", "given"),
    [
        (fields.Secret(), "sk-of-a-provider"),
        (fields.Secret(), {"value": "sk-of-a-provider"}),
        (fields.SecretHeaders(), {"Authorization": "sk-of-a-provider"}),
        (fields.ConnectionString(), "https://sk-of-a-provider@h/?t=sk-of-a-provider"),
        (fields.Command(), "run --token sk-of-a-provider"),
        (fields.Arguments(), ["--api-key", "sk-of-a-provider"]),
        (fields.Variables(), ["TOKEN=sk-of-a-provider"]),
        (fields.Certificate(), "PRIVATE KEY sk-of-a-provider"),
    ],
)
def test_a_secret_is_neither_loaded_nor_dumped(field: Field, given: Any) -> None:
    kept = loaded(field, given)

    assert isinstance(field, fields.Confidential)
    assert "sk-of-a-provider" not in repr(kept)
    if isinstance(field, fields.StoredField) and isinstance(given, str):
        assert "sk-of-a-provider" not in repr(dumped(field, given))


def test_headers_in_a_column_are_shown_by_where_they_are_read_from() -> None:
    stored = '{"A":"env.A","B":"sk-of-a-provider"}'

    in_files = dumped(fields.SecretHeaders(), stored)
    in_answers = dumped(fields.Headers(), stored)

    assert in_files == {"A": "env.A", "B": "(not kept)"}
    assert [each["env_var"] for each in in_answers.values()] == ["env.A", ""]
    assert "sk-of-a-provider" not in repr((in_files, in_answers))


@pytest.mark.parametrize(
    ("field", "given", "problem"),
    [
        (fields.Text(), 1, "must be text"),
        (fields.NonEmpty(), "", "is empty"),
        (fields.Duration(), "0d", "must be above zero"),
        (fields.Number(), "1", "must be a number"),
        (fields.Number(), True, "must be a number"),
        (fields.Number(), -1, "must not be below zero"),
        (fields.Number(), 2**63, "is too large"),
        (fields.Number(above=True), 0, "must be above zero"),
        (fields.Number(whole=True), 0.5, "must be a whole number"),
        (fields.Flag(), 1, "must be true or false"),
        (fields.Timestamp(), "yesterday", "must be an RFC 3339 time"),
        (fields.JsonText(dict), [], "must be an object"),
        (fields.TextList(), [1], "must be an array of texts"),
        (fields.Secret(), 1, "must be text"),
        (fields.Arguments(), "-v", "must be an array of texts"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    field: Field, given: Any, problem: str
) -> None:
    with pytest.raises(ValidationError) as wrong:
        loaded(field, given)

    assert wrong.value.messages == {"member": [problem]}


def test_what_breaks_a_rule_of_json_is_stored_as_json() -> None:
    assert fields.TextList().as_given("gpt-5") == '"gpt-5"'
    assert fields.Number().as_given("many") == "many"


def test_numbers_of_rows_are_whatever_the_database_made_them() -> None:
    numbered = (ProviderConfig, McpConfig, ProviderKey, McpClient, Provider)

    assert [model for model in numbered if "id" in stored_fields(model)] == []


# What is stored, by the kind of column, to fill whole rows of files with.
STORED = {"TEXT": "env.A", "REAL": 0.5, "INTEGER": 3, "NUMERIC": 1, "DATETIME": TIME}


def a_row(model: Any) -> dict[str, Any]:
    kinds = {column.name: column.field_type for column in model._meta.sorted_fields}
    row = {name: STORED[kinds[name]] for name in column_names(model)}
    lists = {name for name in row if name.endswith(("_models", "_keys_json"))}
    lists |= {name for name in row if "tools_" in name or "extra_headers" in name}
    objects = ("profile", "config", "claims", "headers_json", "tool_pricing_json")
    row |= {name: '["a"]' for name in row if name in (*lists, "models_json")}
    row |= {name: "{}" for name in row if name in objects or "config_json" in name}
    return row


@pytest.mark.parametrize("model", [m for m in MODELS if m in SCHEMAS])
def test_the_faster_dump_of_a_files_row_is_the_schemas_own(model: Any) -> None:
    schema = loader(SCHEMAS[model])
    empty: dict[str, Any] = dict.fromkeys(column_names(model))

    for row in (a_row(model), empty, dict.fromkeys(empty, "")):
        assert list(schema.dump_row(row).items()) == list(schema.dump(row).items())
    assert len(schema.dump(a_row(model))) >= len(schema.dump(empty))


@pytest.mark.parametrize("model", [m for m in MODELS if m in SCHEMAS])
def test_what_is_unset_stays_out_of_files_but_for_times(model: Any) -> None:
    said = loader(SCHEMAS[model]).dump(dict.fromkeys(column_names(model)))

    times = {name: each for name, each in said.items() if name.endswith(("_at", "set"))}
    assert set(times.values()) <= {"0001-01-01T00:00:00Z"}
    assert said.keys() - times.keys() <= {"weight", "headers"}
