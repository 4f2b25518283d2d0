"""The models say of their columns what is true of the answers, and all of it."""

import pytest

import fields
import schemas
from models import (
    BUDGET_OWNERS,
    MODELS,
    SHOWN_OWNERS,
    Budget,
    Customer,
    Model,
    ModelConfig,
    ProviderKey,
    Team,
    VirtualKey,
    column_names,
    encrypted_columns,
    noun,
    references,
    referring,
    secret_columns,
    unique_columns,
)
from transfer.config_schemas import stored_fields

# Names that end as references do, of what has no table here or is one in a scope.
NO_REFERENCES = {"id", "source_id", "created_by_user_id", "scope_id", "key_id"}
NO_REFERENCES |= {"client_id", "oauth_config_id"}


@pytest.mark.parametrize("model", MODELS)
def test_every_column_that_names_a_row_says_of_which_model(model: Model) -> None:
    named = {name for name in column_names(model) if name.endswith("_id")}

    assert references(model).keys() == named - NO_REFERENCES - set(
        secret_columns(model)
    )


def test_references_lead_to_the_models_they_are_named_after() -> None:
    for model in MODELS:
        for column, to in references(model).items():
            assert column == f"{noun(to).lower().replace(' ', '_')}_id"


def test_what_refers_to_a_model_is_found_in_the_order_of_the_models() -> None:
    assert referring(Team) == [(VirtualKey, "team_id"), (Budget, "team_id")]


def test_budgets_of_model_configs_are_shown_as_of_what_these_govern() -> None:
    assert BUDGET_OWNERS.keys() - SHOWN_OWNERS.keys() == {"model_config_id"}
    assert BUDGET_OWNERS["model_config_id"] is ModelConfig
    assert SHOWN_OWNERS["customer_id"] is Customer


def test_what_gateways_find_virtual_keys_by_is_unique() -> None:
    assert unique_columns(VirtualKey) == ["name", "value"]


def test_gateways_encrypt_what_gives_access() -> None:
    encrypted = {m.__name__: encrypted_columns(m) for m in MODELS}

    assert {name: columns for name, columns in encrypted.items() if columns} == {
        "VirtualKey": ["value"],
        "McpClient": ["connection_string", "headers_json"],
    }


def test_of_secrets_answers_show_only_where_they_are_read_from() -> None:
    shown = schemas.ProviderKeySchema().fields.items()
    hidden = {
        field.attribute or name
        for name, field in shown
        if isinstance(field, fields.EnvValue)
    }

    assert hidden == set(secret_columns(ProviderKey))


@pytest.mark.parametrize("model", MODELS)
def test_files_take_columns_of_json_for_what_answers_take_them(model: Model) -> None:
    schema = getattr(schemas, f"{model.__name__}Schema", None)
    in_answers = schema().fields if schema else {}
    in_files = stored_fields(model)

    for name, field in in_answers.items():
        if isinstance(field, fields.JsonText):
            assert in_files[field.attribute or name].kind is field.kind
