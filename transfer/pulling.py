"""Read a live gateway's lists over its API, for loading."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any
from urllib.parse import quote

import orjson
import urllib3
from urllib3 import exceptions
from urllib3.util import parse_url

from store.own import NotOurs
from transfer.endpoints import MCP_CLIENTS, ORDER, PAGE, PROVIDERS, Endpoint
from transfer.loading import LoadError

TIMEOUT = urllib3.Timeout(connect=5, read=60)
TRIES = 4
BACKOFF_SECONDS = 0.5  # before the second try; doubled before each further one
RETRY_AFTER = urllib3.Retry(retry_after_max=30)  # reads that header, and caps it
# A member's id: the first of these that is there.
IDS = ("client_id", "id", "name", "provider")
READINGS = 3  # of a list that goes on changing while its pages are read
NO_GATEWAY = "this does not look like a gateway"

Documents = list[tuple[str, Any]]
Progress = Callable[[str], None]
Sleep = Callable[[float], object]


class PullError(Exception):
    """The gateway cannot be read; the text says why, and never holds a credential."""


class _Absent(PullError):
    """The gateway has no such list."""


@dataclass(frozen=True)
class Credentials:
    """The header to send, and what to do where it is not accepted."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    advice: str = "set GATEWAY_TOKEN, or GATEWAY_USER and GATEWAY_PASSWORD"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Credentials":
        """Return the credentials that are set. Raises PullError if both kinds are, or
        half of one, or one cannot be sent.
        """
        names = ["GATEWAY_TOKEN", "GATEWAY_USER", "GATEWAY_PASSWORD"]
        given = [name for name in names if environ.get(name)]
        if given not in ([], names[:1], names[1:]):
            raise PullError(f"{cls.advice}; it is {' and '.join(given)} that is set")
        token, user, password = (environ.get(name, "") for name in names)
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise PullError("GATEWAY_TOKEN holds characters that no token has")
        if token:
            return cls({"Authorization": f"Bearer {token}"}, "check GATEWAY_TOKEN")
        if user:
            pair = f"{user}:{password}"
            headers = urllib3.make_headers(basic_auth=pair, basic_auth_encoding="utf-8")
            return cls(headers, "check GATEWAY_USER and GATEWAY_PASSWORD")
        return cls()


def pull(
    url: str, credentials: Credentials, progress: Progress, sleep: Sleep = time.sleep
) -> Documents:
    """Return a gateway's lists, as (source, document) in the form of its answers.

    A list that it does not have is left out. Raises PullError.
    """
    place = _place(url)
    with urllib3.PoolManager(
        headers=credentials.headers,
        timeout=TIMEOUT,
        retries=False,  # ours are reported, and end when a stop ends the sleep
    ) as pool:
        try:
            return _Gateway(place, credentials, progress, sleep, pool).documents()
        except PullError as problem:
            raise PullError(f"{place}: {problem}") from None


def follow(
    url: str,
    credentials: Credentials,
    every: float,
    load: Callable[[Documents], str],
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Pull and load, wait `every` seconds, and again, until `stop` is set.

    `load` answers a line for the progress. A round that fails is reported there.
    """

    def report(line: str) -> None:
        if stop.is_set():
            raise PullError("stopped")
        progress(line)

    while not stop.is_set():
        try:
            progress(load(pull(url, credentials, report, stop.wait)))
        except (PullError, LoadError, NotOurs) as problem:
            if not stop.is_set():
                progress(f"{problem}; next try in {every:g} s")
        stop.wait(every)


def _place(url: str) -> str:
    """Return the URL without its last slash. Raises PullError, which never shows it."""
    host = r"([\w.-]+|\[[0-9A-Fa-f:.]+\])"
    if not re.fullmatch(rf"https?://{host}(:\d{{1,5}})?(/[\w./~-]*)?", url):
        raise PullError("the URL must read like http://127.0.0.1:8080, no credentials")
    return url.rstrip("/")


@dataclass(frozen=True)
class _Gateway:
    """One gateway; requests are sent again where that may help."""

    place: str
    credentials: Credentials
    progress: Progress
    sleep: Sleep
    pool: urllib3.PoolManager

    def documents(self) -> Documents:
        documents: Documents = []
        for endpoint in ORDER:
            found = self._read(endpoint)
            if found is None:
                continue
            if endpoint is PROVIDERS:
                found = [self._with_keys(provider) for provider in found]
            documents.append((f"GET {endpoint.path}", {endpoint.name: found}))
        return documents

    def _with_keys(self, provider: dict[str, Any]) -> dict[str, Any]:
        """Return a provider's name and keys, of which newer gateways have a list."""
        named = {"name": provider.get("name")}
        if "keys" in provider:
            return named | {"keys": provider["keys"]}
        name = quote(str(named["name"]), safe="")
        keys = Endpoint(f"{PROVIDERS.path}/{name}/keys", "keys", f"keys of {name}")
        found = self._read(keys)
        return named if found is None else named | {"keys": found}

    def _read(self, endpoint: Endpoint) -> list[dict[str, Any]] | None:
        """Return all members of a list, page by page; None if there is no such list."""
        for _ in range(READINGS):
            try:
                members, totals = self._read_pages(endpoint)
            except _Absent as absent:
                if endpoint.required:
                    raise PullError(f"{absent}; {NO_GATEWAY}") from None
                self.progress(f"{endpoint.words}: passed over, {absent}")
                return None
            if totals <= {len(members)}:
                return list(members.values())
            self.progress(f"{endpoint.words}: changed meanwhile, or not all were given")
        raise PullError(f"gave {len(members)} {endpoint.words} of {max(totals)}")

    def _read_pages(self, endpoint: Endpoint) -> tuple[dict[Any, Any], set[int]]:
        """Return the members by id, and every total that the gateway gave."""
        members: dict[Any, Any] = {}
        totals: set[int] = set()
        query = dict(endpoint.query)
        while True:
            answer = self._get(endpoint.path, query)
            if endpoint is MCP_CLIENTS and isinstance(answer, list):  # older gateways
                answer = {endpoint.key: answer}
            before = len(members)
            members |= _members(answer, endpoint)
            total = answer.get("total_count", answer.get("total"))
            if isinstance(total, int):
                totals.add(total)
            if len(members) > before or not members:
                of = f" of {max(totals)}" if totals else ""
                self.progress(f"{endpoint.words}: {len(members)}{of}")
            # A short page is no end: the gateway may give less at once than we ask.
            if len(members) in (before, total):
                return members, totals
            query |= {"limit": str(PAGE), "offset": str(len(members))}

    def _get(self, path: str, query: Mapping[str, str]) -> Any:
        """Return the JSON of one answer, asked for again where that may help."""
        url = self.place + path
        for number in range(TRIES):
            wait = BACKOFF_SECONDS * 2**number * SystemRandom().uniform(0.5, 1.5)
            try:
                response = self.pool.request("GET", url, fields=query, redirect=False)
                if response.status not in (429, 502, 503, 504):
                    return self._parse(f"GET {path} answered", response)
                fault = f"it answered {response.status}"
                wait = max(wait, RETRY_AFTER.get_retry_after(response) or 0)
            except (exceptions.HTTPError, ValueError) as problem:
                fault, passes = _fault(problem)
                if not passes:
                    raise PullError(fault) from None
            if number + 1 < TRIES:
                self.progress(f"GET {path}: {fault}; trying again in {wait:.1f} s")
                self.sleep(wait)
        raise PullError(f"GET {path}: {fault}; tried {TRIES} times")

    def _parse(self, answered: str, response: urllib3.BaseHTTPResponse) -> Any:
        status = response.status
        if status in (401, 403):
            raise PullError(f"{answered} {status}: {self.credentials.advice}")
        if 300 <= status < 400:
            # The credentials must not go there; what is behind the host may be secret.
            host = parse_url(response.headers.get("Location", "")).host or "itself"
            raise PullError(
                f"{answered} {status}, a redirect to {host}; none is followed"
            )
        if status in (404, 405, 501):
            raise _Absent(f"{answered} {status}")
        if status != 200:
            raise PullError(f"{answered} {status}")
        # The gateway answers paths that it does not know with its dashboard's page.
        if response.data[:100].lstrip().startswith(b"<"):
            raise _Absent(f"{answered} HTML")
        try:
            return orjson.loads(response.data)
        except orjson.JSONDecodeError:
            raise PullError(f"{answered} what is not JSON; {NO_GATEWAY}") from None


def _members(answer: Any, endpoint: Endpoint) -> dict[Any, Any]:
    """Return the members of an answer's list, by id. Raises PullError without one."""
    key, answered = endpoint.key, f"GET {endpoint.path} answered"
    if not isinstance(answer, dict) or key not in answer:
        raise PullError(f'{answered} JSON without "{key}"; {NO_GATEWAY}')
    found = [] if answer[key] is None else answer[key]  # null: Go's empty list
    if not isinstance(found, dict | list):
        raise PullError(f'{answered} a "{key}" that is no list')
    members: dict[Any, Any] = {}
    for place in found if isinstance(found, dict) else range(len(found)):
        member = found[place]
        if endpoint is MCP_CLIENTS and isinstance(member, dict):
            member = member.get("config", member)
        if not isinstance(member, dict):
            raise PullError(f'{answered} a "{key}" with [{place!r}] no object')
        if isinstance(found, dict) and "client_id" not in member:
            member = {"name" if endpoint is PROVIDERS else "id": place, **member}
        id = next((member[name] for name in IDS if member.get(name)), None)
        if not isinstance(id, str | int):
            raise PullError(f'{answered} a "{key}" with [{place!r}] without an id')
        members[id] = member
    return members


def _fault(problem: Exception) -> tuple[str, bool]:
    """Return why a request failed, and whether it may succeed later."""
    match problem:
        case exceptions.NameResolutionError():
            return "there is no host of that name", False
        case exceptions.NewConnectionError():
            reason = getattr(problem.__cause__, "strerror", None)
            return f"it cannot be reached, {reason or 'no connection'}", True
        case exceptions.TimeoutError():
            return "no answer in time", True
        case exceptions.ProtocolError():
            return "the connection broke off", True
        case exceptions.InvalidHeader():
            return "it answered with a wrong Retry-After", True
        case exceptions.SSLError():
            reason = getattr(problem.args[0], "verify_message", "")
            return f"no trusted connection, {reason or 'it speaks no TLS'}", False
    return "it cannot be read", False
