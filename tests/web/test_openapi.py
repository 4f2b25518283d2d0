"""/openapi.json: valid, true of what is answered, and good for clients."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from gateway import Gateway, add_model_configs, in_all_layouts
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate
from service import ROOT, Service, settings_in
from werkzeug.test import TestResponse

from callers.api_keys import create_api_key
from transfer.loading import load_files
from web.lists import LONGEST_QUERY
from web.metrics.metrics import add_metrics

DEMO = ROOT / "data" / "demo.json"
LISTS = {
    "/api/governance/teams": "TeamsAnswer",
    "/api/governance/customers": "CustomersAnswer",
}
# What is no part of the API.
OUTSIDE = {"/", "/docs", "/docs/<name>", "/openapi.json"}

Document = dict[str, Any]


@pytest.fixture
def document(app: Flask) -> Document:
    """The document of an application with all that can be described."""
    add_metrics(app)
    return fetched(app)


def fetched(app: Flask) -> Document:
    response = app.test_client().get("/openapi.json")
    assert response.status_code == 200
    found: Document = json.loads(response.data)
    return found


def problems(document: Document, component: str, answer: Any) -> list[str]:
    """Return what of an answer is not as a component says, or unknown to it."""
    components = deepcopy(document["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    schema = {"$ref": f"#/components/schemas/{component}", "components": components}
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    return [f"{e.json_path}: {e.message[:200]}" for e in validator.iter_errors(answer)]


# Valid


def test_an_independent_validator_finds_it_valid(document: Document) -> None:
    validate(document)


def test_it_is_of_openapi_3_1(document: Document) -> None:
    assert document["openapi"] == "3.1.0"


def test_every_component_that_is_there_is_a_valid_json_schema(
    document: Document,
) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


# Complete


def test_every_route_and_method_is_described(app: Flask, document: Document) -> None:
    routes = {rule.rule: rule.methods for rule in app.url_map.iter_rules()}

    assert set(document["paths"]) == set(routes) - OUTSIDE
    for path, operations in document["paths"].items():
        assert {name.upper() for name in operations} == (routes[path] or set()) - {
            "OPTIONS"
        }


def test_without_metrics_they_are_not_described(app: Flask) -> None:
    assert "/metrics" not in fetched(app)["paths"]


def properties(schema: Document, place: str) -> Iterator[tuple[str, Document]]:
    """All properties of a schema, and of those within it."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{place}.{name}", inner
        yield from properties(inner, f"{place}.{name}")


def test_every_field_has_a_type_and_a_meaning(document: Document) -> None:
    schemas = document["components"]["schemas"].items()
    fields = [each for name, schema in schemas for each in properties(schema, name)]

    typed = {"type", "$ref", "anyOf"}
    assert [place for place, field in fields if typed.isdisjoint(field)] == []
    assert [place for place, field in fields if not field.get("description")] == []
    assert len(fields) > 180


def test_every_parameter_has_a_type_and_a_meaning(document: Document) -> None:
    operations = [o for path in document["paths"].values() for o in path.values()]
    parameters = [p for o in operations for p in o.get("parameters", ())]

    typed = {"type", "anyOf"}
    assert all(typed & set(parameter["schema"]) for parameter in parameters)
    assert all(parameter["description"] for parameter in parameters)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/api/governance/teams",
            ["managementApiKey", "adminJwt", "virtualKeyJwt", "virtualKey"],
        ),
        ("/api/governance/customers", ["managementApiKey"]),
        ("/metrics", ["managementApiKey", "adminJwt"]),
        ("/healthz", []),
        ("/readyz", []),
    ],
)
def test_each_routes_credentials_are_named(
    document: Document, path: str, expected: list[str]
) -> None:
    for operation in document["paths"][path].values():
        named = [name for each in operation.get("security", ()) for name in each]
        assert named == expected
    schemes = document["components"]["securitySchemes"]
    assert set(expected) <= set(schemes)
    assert {scheme["scheme"] for scheme in schemes.values()} == {"bearer"}


def test_without_authentication_no_credential_is_named(
    make_app: Callable[..., Flask],
) -> None:
    document = fetched(make_app(GOVERNANCE_AUTH="off"))

    operations = [o for path in document["paths"].values() for o in path.values()]
    assert [o["security"] for o in operations if o.get("security")] == []


@pytest.mark.parametrize("path", LISTS)
def test_the_lists_parameters_are_those_that_they_take(
    document: Document, path: str
) -> None:
    operation = document["paths"][path]["get"]

    names = [p["name"] for p in operation["parameters"] if p["in"] == "query"]

    expected = {"from_memory", "limit", "offset", "search"}
    assert set(names) == expected | ({"customer_id"} if "teams" in path else set())


def test_only_what_is_never_left_out_is_required(document: Document) -> None:
    schemas = document["components"]["schemas"]
    optional = {
        name: set(schema["properties"]) - set(schema["required"])
        for name, schema in schemas.items()
    }

    assert optional["Team"] == {
        *("customer_id", "budget_id", "rate_limit_id"),
        *("customer", "budget", "rate_limit"),
    }
    assert optional["ProviderConfig"] == {"rate_limit_id", "rate_limit"} | {
        "model_budgets"
    }
    assert optional["TeamsAnswer"] == optional["Error"] == set()
    assert schemas["ProviderConfig"]["properties"]["weight"]["type"] == [
        "number",
        "null",
    ]


# True


@pytest.fixture
def demo(tmp_path: Path) -> None:
    load_files([DEMO], tmp_path / "config.db")


@pytest.mark.parametrize(("path", "component"), LISTS.items())
def test_the_demos_answers_are_as_it_says(
    demo: None, document: Document, get: Any, path: str, component: str
) -> None:
    answer = get(path.rpartition("/")[2]).json

    assert answer["count"] > 0
    assert problems(document, component, answer) == []


@in_all_layouts
@pytest.mark.parametrize(("path", "component"), LISTS.items())
def test_every_layouts_answers_are_as_it_says(
    filled: Gateway, document: Document, get: Any, path: str, component: str
) -> None:
    if filled.layout == "july":
        add_model_configs(filled)

    answer = get(path.rpartition("/")[2]).json

    assert problems(document, component, answer) == []


def test_masked_answers_are_as_it_says(
    filled: Gateway, document: Document, get: Any
) -> None:
    answer = get("teams", token="sk-bf-key-ops-0000-fake").json

    assert answer["count"] == 2
    assert problems(document, "TeamsAnswer", answer) == []


def test_a_false_answer_would_be_found(filled: Gateway, document: Document) -> None:
    wrong = {"teams": [{"id": 1, "nmae": "x"}], "count": 1}

    found = " ".join(problems(document, "TeamsAnswer", wrong))

    for words in ("nmae", "1 is not of type 'string'", "'total_count' is a required"):
        assert words in found


def test_readiness_and_health_are_as_it_says(
    client: FlaskClient, document: Document, gateway: Gateway
) -> None:
    client.get("/api/governance/teams")
    ready = [client.get("/readyz").json]
    gateway.path.rename(gateway.path.with_suffix(".gone"))
    client.get("/api/governance/teams", headers={"Authorization": "Bearer sk-bf-x"})
    ready.append(client.get("/readyz").json)

    assert [problems(document, "Readiness", each) for each in ready] == [[], []]
    assert problems(document, "Health", client.get("/healthz").json) == []


Ask = Callable[[FlaskClient, dict[str, str]], TestResponse]
TEAMS = "/api/governance/teams"
ERRORS: dict[int, Ask] = {
    400: lambda client, key: client.get(f"{TEAMS}?limit=x", headers=key),
    401: lambda client, key: client.get(TEAMS),
    414: lambda client, key: client.get(f"{TEAMS}?{'x' * LONGEST_QUERY}x", headers=key),
    503: lambda client, key: client.get(TEAMS, headers=key),
}


@pytest.mark.parametrize("status", ERRORS)
def test_every_error_is_described_with_its_headers(
    tmp_path: Path, client: FlaskClient, document: Document, api_key: str, status: int
) -> None:
    if status != 503:
        Gateway(tmp_path / "config.db")

    response = ERRORS[status](client, {"Authorization": f"Bearer {api_key}"})

    assert response.status_code == status
    described = document["paths"][TEAMS]["get"]["responses"][str(status)]
    assert_described(document, described, response)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [("GET", "/nowhere", "NotFound"), ("POST", TEAMS, "MethodNotAllowed")],
)
def test_errors_of_no_operation_are_described_too(
    client: FlaskClient, document: Document, method: str, path: str, name: str
) -> None:
    response = client.open(path, method=method)

    described = {"$ref": f"#/components/responses/{name}"}
    assert_described(document, described, response)
    assert response.json is not None
    assert f"`{response.json['error']['code']}`" in document["info"]["description"]


def assert_described(
    document: Document, described: dict[str, str], response: TestResponse
) -> None:
    name = described["$ref"].rpartition("/")[2]
    headers = document["components"]["responses"][name]["headers"]
    assert problems(document, "Error", response.json) == []
    own = {*response.headers.keys()} - {"Content-Type", "Content-Length"}
    assert own == set(headers)


@pytest.mark.parametrize("query", ["", "?from_memory=true"])
def test_the_lists_headers_are_described(
    gateway: Gateway, get: Any, document: Document, query: str
) -> None:
    remembered = {"from_memory": "true"} if query else {}
    get("teams")

    headers = {*get("teams", **remembered).headers.keys()}

    described = document["paths"][TEAMS]["get"]["responses"]["200"]["headers"]
    assert headers - {"Content-Type", "Content-Length"} == set(described) - (
        set() if query else {"Age"}
    )


# Useful


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """The demo, served, and an API key."""
    folder = tmp_path_factory.mktemp("service")
    load_files([DEMO], folder / "config.db")
    api_key = create_api_key(folder / "access.db", "tests")
    service = Service(settings_in(folder), "--metrics")
    yield service, api_key
    service.end()


@pytest.mark.timeout(300)  # it asks some hundred times
def test_schemathesis_finds_nothing(
    service: tuple[Service, str], tmp_path: Path
) -> None:
    running, api_key = service
    command = [sys.executable, "-m", "schemathesis.cli", "run", "--no-color"]
    command += ["--checks", "all", "--max-examples", "10", "--seed", "1"]
    command += ["--header", f"Authorization: Bearer {api_key}"]
    command += [f"{running.ready['url']}/openapi.json"]

    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout
    assert "Operations:       10 selected / 10 total" in ran.stdout


def generators() -> Path:
    """The folder where GENERATORS says that client generators are installed:
    openapi-typescript, openapi-fetch, typescript and @types/node by npm, and a virtual
    environment `python` with openapi-python-client.
    """
    if "GENERATORS" not in os.environ:
        pytest.skip("needs GENERATORS, a folder with client generators")
    return Path(os.environ["GENERATORS"])


TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { paths } from "./api.d.ts";

const headers = { Authorization: `Bearer ${process.env.API_KEY}` };
const client = createClient<paths>({ baseUrl: process.env.URL!, headers });
const { data, error } = await client.GET("/api/governance/teams", {
  params: { query: { from_memory: false, limit: 2 } },
});
if (error) throw new Error(error.error.message);
for (const team of data.teams) {
  const used: number = team.budgets.reduce((sum, each) => sum + each.current_usage, 0);
  const keys: string[] = team.virtual_keys.map((key) => key.value);
  console.log(team.name, used > 0, keys.length);
}
const all = await client.GET("/api/governance/customers");
console.log(all.data?.customers.map((customer) => customer.teams.length).join());
"""


@pytest.mark.timeout(300)
def test_a_typescript_client_compiles_and_lists_the_demo(
    service: tuple[Service, str], tmp_path: Path
) -> None:
    running, api_key = service
    tools = generators() / "node_modules"
    (tmp_path / "node_modules").symlink_to(tools)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "list.ts").write_text(TYPESCRIPT)
    (tmp_path / "openapi.json").write_bytes(running.request("/openapi.json")[1])
    environment = os.environ | {"URL": running.ready["url"], "API_KEY": api_key}

    def run(*command: str | Path) -> str:
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    run(tools / ".bin" / "openapi-typescript", "openapi.json", "-o", "api.d.ts")
    options = "--strict --target es2022 --module nodenext --types node"
    imports = "--rewriteRelativeImportExtensions"
    compiler = tools / ".bin" / "tsc"
    run(compiler, *options.split(), imports, "--outDir", "made", "list.ts")
    listed = run("node", "made/list.js")

    assert listed == "Claims true 3\nUnderwriting true 2\n3,3,2\n"


PYTHON = """
import os

from governance_lists_client import AuthenticatedClient
from governance_lists_client.api.lists import list_customers, list_teams

client = AuthenticatedClient(os.environ["URL"], token=os.environ["API_KEY"])
for team in list_teams.sync(client=client, from_memory=False, limit=2).teams:
    used = sum(budget.current_usage for budget in team.budgets)
    print(team.name, used > 0, len(team.virtual_keys))
found = list_customers.sync(client=client).customers
print(*(len(customer.teams) for customer in found), sep=",")
"""


@pytest.mark.timeout(300)
def test_a_python_client_compiles_and_lists_the_demo(
    service: tuple[Service, str], tmp_path: Path
) -> None:
    running, api_key = service
    programs = generators() / "python" / "bin"
    (tmp_path / "openapi.json").write_bytes(running.request("/openapi.json")[1])
    (tmp_path / "list.py").write_text(PYTHON)
    made = tmp_path / "made"
    environment = os.environ | {"URL": running.ready["url"], "API_KEY": api_key}
    environment["PYTHONPATH"] = str(made)

    def run(program: str, *arguments: str | Path) -> str:
        ran = subprocess.run(
            [programs / program, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    options = ("--path", "openapi.json", "--output-path", made)
    run("openapi-python-client", "generate", *options)
    run("python", "-m", "compileall", "-q", made)
    listed = run("python", "list.py")

    assert listed == "Claims True 3\nUnderwriting True 2\n3,3,2\n"
