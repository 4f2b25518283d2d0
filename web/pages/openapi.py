"""The OpenAPI document, made of the schemas and the routes.

Only imported when somebody asks for it: apispec takes its time.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, cast

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow import Schema
from marshmallow.fields import Nested

import schemas
from callers.authenticator import Kind
from web.lists import CUSTOMERS, TEAMS, List
from web.pages import json_types

VERSION = "1.0.0"  # of the API
METHODS = {"GET", "HEAD"}

DESCRIPTION = """\
Two lists of an AI gateway's governance, answered from its own database.

Whatever goes wrong has the same body, `Error`. Beside what stands at each route:

| status | `error.code` | |
|---|---|---|
| 400 | `bad_request` | no Host header, or two; more than 256 parameters |
| 404 | `not_found` | any other path |
| 405 | `method_not_allowed` | any method but those that `Allow` names |
| 414 | `uri_too_long` | a query of more than 16,384 characters |
| 500 | `internal_error` | anything unforeseen |

Every answer has an `X-Request-Id`; that of an error is its `event_id`. Parameters that
are not known are ignored, and one that is given empty counts as not given.
"""

SCHEMES = {
    Kind.MANAGEMENT_KEY: (
        "managementApiKey",
        "bfst-…",
        "A management API key: sees everything, and virtual keys' values in clear.",
    ),
    Kind.ADMIN_JWT: (
        "adminJwt",
        "JWT",
        "A JWT whose `role` is `admin`: sees all teams, and values in clear.",
    ),
    Kind.VIRTUAL_KEY_JWT: (
        "virtualKeyJwt",
        "JWT",
        "A JWT whose `role` is `virtual_key`, and whose `sub` is a virtual key's id:"
        " sees what the key sees.",
    ),
    Kind.VIRTUAL_KEY: (
        "virtualKey",
        "sk-bf-…",
        "A virtual key: sees the teams of its customer, with values masked.",
    ),
}

TAGS = {"lists": "The two lists.", "service": "The service itself."}

HEADERS = {
    "ETag": "The tag of exactly this answer, for If-None-Match.",
    "Age": "With `from_memory`: seconds since the answer was known to be current.",
    "X-Request-Id": "The request's id: the one it brought, or a new one.",
    "Retry-After": "Seconds after which to try again.",
    "WWW-Authenticate": "Always `Bearer`.",
    "Allow": "The methods that the path takes.",
    "Cache-Control": "Whether caches may keep the answer.",
    "Vary": "The request headers that the answer depends on.",
}
WHOLE_HEADERS = {"Age", "Retry-After"}

ERRORS = {
    "400": ("BadRequest", "A parameter of the wrong kind, which `param` names.", ()),
    "401": (
        "Unauthorized",
        "No credential (`missing_credentials`), or none that counts here"
        " (`invalid_credentials`): unknown, malformed, expired, revoked, inactive, or"
        " of a kind that this route does not take.",
        ("WWW-Authenticate",),
    ),
    "404": ("NotFound", "There is nothing at this path.", ()),
    "405": ("MethodNotAllowed", "The path does not take this method.", ("Allow",)),
    "414": ("UriTooLong", "The query is too long.", ()),
    "500": ("InternalError", "Anything unforeseen; the log says more.", ()),
    "503": (
        "Unavailable",
        "The database cannot be read (`database_unavailable`), or too many large"
        " answers are being sent (`server_busy`).",
        ("Retry-After",),
    ),
}

ENV_VALUE = {
    "type": "object",
    "description": "A secret, which is never shown, only where it is read from.",
    "required": ["value", "env_var", "from_env"],
    "properties": {
        "value": {"type": "string", "const": "", "description": "Always empty."},
        "env_var": {
            "type": "string",
            "description": "`env.NAME` or `vault.PATH`; empty where neither is used.",
        },
        "from_env": {
            "type": "boolean",
            "description": "True for an environment variable of the gateway.",
        },
    },
}
MODE = {
    "type": "object",
    "required": ["ready"],
    "properties": {
        "ready": {"type": "boolean", "description": "Whether it can answer."},
        "reason": {"type": "string", "description": "Why it is not ready."},
        "age": {"type": ["integer", "null"], "description": "Seconds, as below."},
    },
}
READINESS = {
    "type": "object",
    "required": ["ready", "database", "memory", "api_keys", "age", "last_failure"],
    "properties": {
        "ready": {"type": "boolean", "description": "Whether requests are answered."},
        "database": MODE | {"description": "The database mode."},
        "memory": MODE | {"description": "The memory mode (`from_memory`)."},
        "api_keys": MODE | {"description": "The management API keys' own file."},
        "age": {
            "type": ["integer", "null"],
            "description": "Seconds since the snapshot was known to be current.",
        },
        "teams": {"type": "integer", "description": "How many there are."},
        "customers": {"type": "integer", "description": "How many there are."},
        "virtual_keys": {"type": "integer", "description": "How many there are."},
        "last_failure": {
            "type": ["object", "null"],
            "description": "The last look at the database that failed, if any.",
            "required": ["at", "reason"],
            "properties": {
                "at": json_types.TIME | {"description": "When it failed."},
                "reason": {"type": "string", "description": "Why it failed."},
            },
        },
    },
}
HEALTH = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"type": "string", "const": "ok", "description": "Always `ok`."}
    },
}


def document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    settings = app.extensions["settings"]
    plugin = MarshmallowPlugin(schema_name_resolver=_component_name)
    spec = APISpec(
        "Governance lists",
        VERSION,
        "3.1.0",
        info={"description": DESCRIPTION},
        tags=[{"name": name, "description": TAGS[name]} for name in TAGS],
        plugins=[plugin],
    )
    converter = cast(OpenAPIConverter, plugin.converter)
    converter.add_attribute_function(json_types.properties)
    _add_components(spec)
    routes = {rule.rule: rule.endpoint for rule in app.url_map.iter_rules()}
    for path, operation in _operations(secured=settings.auth == "on").items():
        if path in routes:
            summary = _summary(app, routes[path])
            spec.path(path, operations=_with_head(summary, operation))
    made = spec.to_dict()
    _complete(made["components"]["schemas"])
    return made


def _add_components(spec: APISpec) -> None:
    spec.components.schema("EnvValue", ENV_VALUE)
    spec.components.schema("Readiness", READINESS)
    spec.components.schema("Health", HEALTH)
    for answer in (schemas.TeamsAnswerSchema, schemas.CustomersAnswerSchema):
        spec.components.schema(_component_name(answer), schema=answer)
    spec.components.schema("Error", schema=schemas.ErrorSchema)
    for name, description in HEADERS.items():
        kind = "integer" if name in WHOLE_HEADERS else "string"
        header = {"description": description, "schema": {"type": kind}}
        spec.components.header(name, header)
    for name, description, headers in ERRORS.values():
        spec.components.response(
            name,
            {
                "description": description,
                "headers": _headers("X-Request-Id", *headers),
                "content": _json_of("Error"),
            },
        )
    for name, form, description in SCHEMES.values():
        scheme = {"type": "http", "scheme": "bearer", "bearerFormat": form}
        spec.components.security_scheme(name, scheme | {"description": description})


def _operations(*, secured: bool) -> dict[str, dict[str, Any]]:
    """The operation of each path, as its GET has it."""

    def security(*kinds: Kind) -> dict[str, Any]:
        return {"security": [{SCHEMES[kind][0]: []} for kind in kinds if secured]}

    def listed(of: List, answer: str) -> dict[str, Any]:
        whole = ("ETag", "Age", "X-Request-Id", "Cache-Control", "Vary")
        found = {
            "description": "The list.",
            "headers": _headers(*whole),
            "content": _json_of(answer),
        }
        same = {"description": "As the client has it.", "headers": _headers(*whole)}
        return {
            "operationId": f"list_{of.name}",
            "tags": ["lists"],
            "parameters": [{"in": "query", "schema": type(of.query)}, IF_NONE_MATCH],
            "responses": {"200": found, "304": same}
            | _errors("400", "401", "414", "500", "503"),
            **security(*of.taken),
        }

    ready = {"headers": _headers("X-Request-Id"), "content": _json_of("Readiness")}
    metrics = {
        "description": "All metrics.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    return {
        "/api/governance/teams": listed(TEAMS, "TeamsAnswer"),
        "/api/governance/customers": listed(CUSTOMERS, "CustomersAnswer"),
        "/healthz": {
            "operationId": "health",
            "tags": ["service"],
            "responses": {
                "200": {
                    "description": "The process is alive.",
                    "headers": _headers("X-Request-Id"),
                    "content": _json_of("Health"),
                }
            }
            | _errors("414"),
        },
        "/readyz": {
            "operationId": "readiness",
            "tags": ["service"],
            "responses": {
                "200": {"description": "Requests are answered.", **ready},
                "503": {"description": "The database mode cannot answer.", **ready},
            }
            | _errors("414"),
        },
        "/metrics": {
            "operationId": "metrics",
            "tags": ["service"],
            "responses": {"200": metrics} | _errors("401", "414", "500", "503"),
            **security(Kind.MANAGEMENT_KEY, Kind.ADMIN_JWT),
        },
    }


IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The ETag of an answer that the client has.",
    "schema": {"type": "string"},
}


def _summary(app: Flask, endpoint: str) -> str:
    words = (app.view_functions[endpoint].__doc__ or "").partition("\n")[0]
    return words.removeprefix("Return ").strip().capitalize()


def _with_head(summary: str, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation for GET, and the same without bodies for HEAD."""
    responses = {
        status: {"description": "As of GET, without a body."}
        if isinstance(response, str)
        else {name: part for name, part in response.items() if name != "content"}
        for status, response in operation["responses"].items()
    }
    name = f"{operation['operationId']}_head"
    head = deepcopy(operation) | {"operationId": name, "responses": responses}
    return {
        "get": {"summary": summary, **operation},
        "head": {"summary": f"Headers only. {summary}", **head},
    }


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: ERRORS[status][0] for status in statuses}


def _headers(*names: str) -> dict[str, Any]:
    return {name: name for name in names}


def _json_of(component: str) -> dict[str, Any]:
    return {"application/json": {"schema": component}}


def _component_name(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


def _complete(components: dict[str, Any]) -> None:
    """Add what apispec cannot know: what is always there, and where circles end."""
    for schema in _within(schemas.TeamsAnswerSchema(), schemas.CustomersAnswerSchema()):
        components[_component_name(schema)]["required"] = json_types.required(schema)
    for name in ("Error", "ErrorDetail", "ErrorExtraFields"):
        components[name]["required"] = list(components[name]["properties"])
    for component in components.values():
        component.pop("additionalProperties", None)  # newer versions may say more
    customer = components["Team"]["properties"]["customer"]
    customer["anyOf"] = [{"$ref": customer.pop("$ref")}, json_types.CUT]
    for name in ("team", "customer"):
        cut = components["VirtualKey"]["properties"][name]
        del cut["$ref"]
        cut |= json_types.CUT


def _within(*roots: Schema) -> Iterator[Schema]:
    """The schemas and all that are nested in them, each once."""
    found: dict[type, Schema] = {}
    waiting = [*roots]
    while waiting:
        schema = waiting.pop()
        if type(schema) not in found:
            found[type(schema)] = schema
            nested = (f for f in schema.fields.values() if isinstance(f, Nested))
            waiting.extend(field.schema for field in nested)
    yield from found.values()
