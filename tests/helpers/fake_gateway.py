"""A gateway's API on a free port of 127.0.0.1, of each generation, and its faults."""

import json
import socket
import ssl
import struct
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

GOVERNANCE = "/api/governance"
KEYS = [{"id": "uuid-1", "name": "key-1", "value": "", "models": [], "weight": 0.5}]
MODEL_CONFIG = {"id": "model-1", "model_name": "*", "scope": "global"}
CLIENT = {"client_id": "client-1", "name": "tickets", "connection_type": "http"}
TIMES = dict.fromkeys(("created_at", "updated_at"), "2026-07-01T10:00:00Z")
UNSET_TIMES = dict.fromkeys(("created_at", "updated_at"), "0001-01-01T00:00:00Z")
# What an older gateway answers to paths that it does not know, its status being 200.
PAGE = b"<!doctype html><title>Dashboard</title>"


@dataclass
class Reply:
    """An answer out of turn. `hang`: none, until the gateway closes; `reset`: none."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    reset: bool = False


@dataclass
class Request:
    path: str
    query: dict[str, str]
    authorization: str | None


class FakeGateway:
    """Serves from `lists` until it is closed; used in a `with`.

    The older one gives whole lists, announces no totals and has the keys inside of the
    providers. The newer one gives `cap` members at once, the first 25 where it is not
    asked for a number, announces totals (unless `announce` is false) and has the keys
    in lists of their own; that of July shows secrets in some lists, masked in others.
    `objects` keys the members by their ids; `authorization` is asked for if it is set.
    """

    def __init__(
        self,
        generation: Literal["older", "newer", "july"] = "newer",
        *,
        objects: bool = False,
        cap: int = 100,
        announce: bool = True,
        heed_offset: bool = True,
        authorization: str | None = None,
        certificate: Path | None = None,
    ) -> None:
        self.older = generation == "older"
        self.objects = objects
        self.cap = cap
        self.announce = announce and not self.older
        self.heed_offset = heed_offset
        self.authorization = authorization
        self.keys = KEYS
        self.clients = [CLIENT]
        self.lists: dict[str, list[dict[str, Any]]] = {
            "customers": [{"id": "acme", "name": "Acme"}],
            "teams": [{"id": "ops", "name": "Ops", "config": {"a": 1}}],
            "virtual_keys": [{"id": "key-ops", "name": "Ops", "team_id": "ops"}],
            "budgets": [{"id": "budget-1", "max_limit": 2**53 + 1}],
            "rate_limits": [{"id": "limit-1", "token_max_limit": 10}],
            "model_configs": [MODEL_CONFIG],
        }
        if generation == "july":
            self.lists, self.keys, self.clients = july_lists()
        self.requests: list[Request] = []
        self.replies: dict[str, list[Reply]] = defaultdict(list)
        self.always: dict[str, Reply] = {}
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.gateway = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True
            )
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "FakeGateway":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, path: str) -> list[dict[str, str]]:
        """The queries that a path was asked with."""
        return [request.query for request in self.requests if request.path == path]

    def reply(self, request: Request) -> Reply:
        if self.authorization not in (None, request.authorization):
            return Reply(401, b'{"error": {}}')
        if turn := self.replies[request.path]:
            return turn.pop(0)
        if request.path in self.always:
            return self.always[request.path]
        answer = self._answer(request)
        if answer is None:
            return Reply(200, PAGE) if self.older else Reply(404, b'{"error": {}}')
        return Reply(200, json.dumps(answer).encode())

    def _answer(self, request: Request) -> Any:
        path = request.path
        key = path.removeprefix(f"{GOVERNANCE}/").replace("-", "_")
        if key in self.lists:
            return self._list(key, self.lists[key], request.query)
        if path == "/api/providers":
            inside = {"keys": self.keys} if self.older else {}
            openai = {"name": "openai", "network_config": {"secret": "s"}, **inside}
            return {"providers": [openai], "total": 1}
        if path == "/api/providers/openai/keys" and not self.older:
            return {"keys": self.keys, "total": len(self.keys)}
        if path == f"{GOVERNANCE}/providers":
            return {"providers": None, "count": 0}
        if path == "/api/mcp/clients":
            more: dict[str, Any] = {"tools": [], "state": "connected"}
            clients = [{"config": client, **more} for client in self.clients]
            if self.older:
                return clients
            return self._list("clients", clients, request.query)
        return None

    def _list(
        self, key: str, members: list[dict[str, Any]], query: dict[str, str]
    ) -> dict[str, Any]:
        page = members
        if not self.older:
            offset = int(query.get("offset", 0)) if self.heed_offset else 0
            page = members[offset:][: min(int(query.get("limit", 25)), self.cap)]
        shown: Any = page
        if self.objects:
            shown = {member.get("id", "client-1"): member for member in page}
        totals = {"total_count": len(members)} if self.announce else {}
        return {key: shown, "count": len(page), **totals}


def july_lists() -> tuple[dict[str, Any], list[Any], list[Any]]:
    """The lists of a gateway of July, its keys and its MCP clients: what it resolved
    is in `value`, beside what it is read from; what it masks it masks in one list only.
    """
    mask = "*" * 24
    budget = {"max_limit": 5, "reset_duration": "1d", "current_usage": 1} | TIMES
    own = {**budget, "id": "b-own", "virtual_key_id": "key-ops"}
    governing = {**budget, "id": "b-all", "model_config_id": "m-all"}
    model = {**budget, "id": "b-model", "model_config_id": "m-o3"}
    limit = {"id": "limit-1", "token_max_limit": 10, "token_reset_duration": "1h"}
    scope = {"scope": "virtual_key", "scope_id": "key-ops", "calendar_aligned": True}
    configs = [
        {"id": "m-all", "model_name": "*", **scope, "budgets": [governing]},
        {"id": "m-o3", "model_name": "o3", "provider": "openai", **scope}
        | {"budgets": [model], "rate_limit_id": "limit-1", "rate_limit": limit},
    ]
    key = {"name": "key-1", "models": ["*"], "weight": 0.5}
    cut = {**key, "id": 1, "key_id": "uuid-1", "provider": "openai", "provider_id": 0}
    cut |= {"value": {"value": ""}, "blacklisted_models": None, **UNSET_TIMES}
    client = {"name": "tickets", "client_id": "client-1", "auth_type": "headers"}
    client |= {"connection_type": "http", "allowed_extra_headers": ["X-Trace"]}
    shown = {
        **client,
        "connection_string": {
            "value": "http://u:SECRET-1@h/mcp?key=SECRET-2",
            "type": "plain_text",
        },
        "headers": {
            "A": {"value": "Bearer SECRET-3", "type": "plain_text"},
            "B": {"value": "SECRET-4", "ref": "env.MCP", "type": "env"},
        },
        "id": 1,
        **TIMES,
    }
    masked = {
        **client,
        "connection_string": {"value": f"http{mask}ET-2", "type": "plain_text"},
        "headers": {
            "A": {"value": f"Bear{mask}ET-3", "type": "plain_text"},
            "B": {"value": f"SECR{mask}ET-4", "ref": "env.MCP", "type": "env"},
        },
    }
    config = {"id": 1, "virtual_key_id": "key-ops", "provider": "openai"}
    config |= {"weight": 1, "allow_all_keys": False, "keys": [cut]}
    config |= {"allowed_models": ["*"], "blacklisted_models": []}
    mcp_config = {"id": 1, "virtual_key_id": "key-ops", "mcp_client_id": 1}
    virtual_key = {
        **{"id": "key-ops", "name": "Ops", "value": "sk-bf-1", "is_active": True},
        **{"team_id": "ops", "calendar_aligned": True, "budgets": [own], **TIMES},
        "provider_configs": [config],
        "mcp_configs": [{**mcp_config, "mcp_client": shown, "tools_to_execute": ["*"]}],
    }
    acme = {"id": "acme", "name": "Acme", "calendar_aligned": False, **TIMES}
    team = {"id": "ops", "name": "Ops", "customer_id": "acme", "source_id": "scim-1"}
    lists: dict[str, Any] = {
        "customers": [{**acme, "teams": None, "virtual_keys": None}],
        "teams": [{**team, "customer": acme, "virtual_key_count": 1, **TIMES}],
        "virtual_keys": [virtual_key],
        "model_configs": [{**each, **TIMES} for each in configs],
        "budgets": [own, governing, model],
        "rate_limits": [limit],
    }
    value = {"value": f"SECR{mask}ET-5", "ref": "env.OPENAI", "type": "env"}
    return lists, [{**key, "id": "uuid-1", "value": value}], [masked]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    gateway: FakeGateway


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body would wait for each other
    server: _Server

    def do_GET(self) -> None:
        gateway, parts = self.server.gateway, urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        request = Request(parts.path, query, self.headers["Authorization"])
        gateway.requests.append(request)
        reply = gateway.reply(request)
        if reply.hang:
            gateway.closing.wait()
        if reply.hang or reply.reset:
            # Lingering for 0 s, a close is a reset.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Length": len(reply.body), **reply.headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def make_certificate(path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(pem, form, plain) + certificate.public_bytes(pem)
    )
    return path
