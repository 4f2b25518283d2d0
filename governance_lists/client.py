"""A service for tests: a process of its own, and what drives it.

    with GovernanceLists() as governance:
        governance.team(name="Red", budget=100)
        ...  # ask governance.url, with governance.api_key

Needs only the standard library, and imports nothing of the service.
"""

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from governance_lists.control import Control, GovernanceError
from governance_lists.made import Made, Maker
from governance_lists.process import DidNotStart, Process

DAY = 86_400  # seconds
ROUTES = {
    "teams": "/api/governance/teams",
    "customers": "/api/governance/customers",
}


class GovernanceLists:
    """A running service, empty at first. Also a context manager, which ends it.

    `files` are loaded, or are a gateway's database, which is served as it is; see
    `governance-lists serve`. `options` are more of its options.
    """

    def __init__(self, *files: str | Path, options: tuple[str, ...] = ()) -> None:
        self._arguments = ["--control", *options, *map(str, files)]
        self._process: Process | None = None
        self._control: Control | None = None
        self._tokens: dict[str | None, str] = {}
        self._maker = Maker()

    # Starting and stopping

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the service, and wait until it answers. Raises GovernanceError."""
        try:
            self._process = Process(self._arguments)
        except DidNotStart as problem:
            message = f"the service did not start: {problem}"
            raise GovernanceError(message) from None
        ready = self._process.ready
        self._control = Control(ready["url"], ready["control_token"])
        self._tokens = {}

    def stop(self) -> None:
        """End the service."""
        process, self._process = self._process, None
        control, self._control = self._control, None
        if control is not None:
            control.close()
        if process is not None:
            process.stop()

    def log(self) -> str:
        """Return what the service wrote to its log so far."""
        return self._running().log()

    def _running(self) -> Process:
        if self._process is None:
            raise _not_running()
        return self._process

    # Where it is, and who may ask

    @property
    def url(self) -> str:
        """The address of the service, such as `http://127.0.0.1:41234`."""
        return str(self._running().ready["url"])

    @property
    def api_key(self) -> str:
        """A management API key, for all of both lists."""
        return str(self._running().ready["api_key"])

    @property
    def admin_token(self) -> str:
        """An admin's JWT."""
        return self._token(None)

    def virtual_key_token(self, virtual_key: str | Mapping[str, Any]) -> str:
        """Return the JWT of a virtual key, which is given by its id, or as it was made.

        The id need not be one that there is.
        """
        return self._token(_id_of(virtual_key))

    def new_token(
        self, virtual_key_id: str | None = None, expires_in: int | None = None
    ) -> str:
        """Make a JWT, an admin's or a virtual key's; it may have expired already."""
        body = {"virtual_key_id": virtual_key_id, "expires_in": expires_in}
        return str(self.control("POST", "tokens", body)["token"])

    def new_api_key(
        self, name: str | None = None, expires_in: int | None = None
    ) -> str:
        """Make another management API key; it may have expired already."""
        body: dict[str, Any] = {"expires_in": expires_in}
        if name is not None:
            body["name"] = name
        return str(self.control("POST", "api-keys", body)["api_key"])

    def revoke_api_key(self, name: str) -> None:
        """Revoke a management API key that was made here."""
        self.control("DELETE", f"api-keys/{quote(name, safe='')}")

    def _token(self, virtual_key_id: str | None) -> str:
        if virtual_key_id not in self._tokens:
            self._tokens[virtual_key_id] = self.new_token(virtual_key_id, DAY)
        return self._tokens[virtual_key_id]

    # Data

    def reset(self) -> None:
        """Begin anew: no data, no faults, no requests."""
        self.control("DELETE", "all")
        self._maker = Maker()

    def load(self, document: Any) -> Made:
        """Add what a document says, in any form that `governance-lists load` takes.

        `{"teams": [{"name": "Red"}]}` is enough. A path is that of a file. Return how
        many rows were added and changed, and notes of what was passed over. Raises
        GovernanceError, and then nothing has changed.
        """
        return self._put("POST", document)

    def replace(self, document: Any) -> Made:
        """Load a document in place of all that there is; see load."""
        return self._put("PUT", document)

    def customer(self, name: str | None = None, **fields: Any) -> Made:
        """Make a customer and return it; see team."""
        customer = self._maker.customer(name, fields)
        self.load({"customers": [customer]})
        return customer

    def team(
        self,
        name: str | None = None,
        customer: str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Made:
        """Make a team and return it, with all ids and values that it was given.

        `customer` is one that was made, or its id. `budget` is an amount for a month,
        or a dict; `virtual_keys` how many, their names, or dicts. Other fields are
        those of the lists.
        """
        team = self._maker.team(name, fields)
        if customer is not None:
            team["customer_id"] = _id_of(customer)
        self.load({"teams": [team]})
        return team

    def virtual_key(
        self,
        name: str | None = None,
        team: str | Mapping[str, Any] | None = None,
        customer: str | Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Made:
        """Make a virtual key, of a team, of a customer or of neither; see team."""
        virtual_key = self._maker.virtual_key(name, fields)
        for owner, its in (("team_id", team), ("customer_id", customer)):
            if its is not None:
                virtual_key[owner] = _id_of(its)
        self.load({"virtual_keys": [virtual_key]})
        return virtual_key

    def provider(self, name: str, keys: int | list[Any] = 1) -> Made:
        """Make a provider with keys, so many or as they are; return its keys' fields.

        A virtual key refers to it by `provider_configs=[{"provider": name, "key_ids":
        ["*"]}]`, or by the keys' `key_id`.
        """
        keys = self._maker.provider_keys(name, keys)
        self.load({"providers": {name: {"keys": keys}}})
        return {"name": name, "keys": keys}

    def _put(self, method: str, document: Any) -> Made:
        if isinstance(document, Path):
            document = document.read_bytes()
        if not isinstance(document, bytes):
            document = json.dumps(document).encode()
        loaded: Made = self.control(method, "data", document)
        return loaded

    # What was asked

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests of this test, oldest first: method, path, query, status, caller
        and more.
        """
        found: list[dict[str, Any]] = self.control("GET", "requests")["requests"]
        return found

    def forget_requests(self) -> None:
        """Forget the requests so far."""
        self.control("DELETE", "requests")

    # Faults. `route` is "teams", "customers", another path, or None for all.

    def fail_next(
        self, status: int = 503, times: int | None = 1, route: str | None = None
    ) -> "Fault":
        """Let the next requests fail with a status and the documented body."""
        return self._fault("status", status, times, route)

    def slow_next(
        self, seconds: float, times: int | None = 1, route: str | None = None
    ) -> "Fault":
        """Let the next requests wait for so long before they are answered."""
        return self._fault("delay", seconds, times, route)

    def cut_next(self, times: int | None = 1, route: str | None = None) -> "Fault":
        """Cut the connections of the next requests in the middle of the body."""
        return self._fault("cut", True, times, route)

    def unavailable(
        self, times: int | None = None, route: str | None = None
    ) -> "Fault":
        """Let the database be gone, until it is taken back or for so many requests."""
        return self._fault("unavailable", True, times, route)

    def stale(self, times: int | None = None, route: str | None = None) -> "Fault":
        """Let the memory mode stay as it is now, until it is taken back."""
        return self._fault("stale", True, times, route)

    def clear_faults(self) -> None:
        """Take all faults back."""
        self.control("DELETE", "faults")

    def _fault(
        self, kind: str, value: Any, times: int | None, route: str | None
    ) -> "Fault":
        route = ROUTES.get(route or "", route)
        body = {kind: value, "times": times, "route": route}
        return Fault(self, int(self.control("POST", "faults", body)["id"]))

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask a control route; return the parsed answer. Raises GovernanceError."""
        if self._control is None:
            raise _not_running()
        return self._control.ask(method, path, body)


class Fault:
    """Something that goes wrong; as a context manager, for as long as it lasts."""

    def __init__(self, governance: GovernanceLists, number: int) -> None:
        self._governance = governance
        self._number = number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.take_back()

    def take_back(self) -> None:
        """Let all go well again, as far as it is this fault's; also if it is over."""
        try:
            self._governance.control("DELETE", f"faults/{self._number}")
        except GovernanceError as gone:
            if gone.status != http.client.NOT_FOUND:
                raise


def _not_running() -> GovernanceError:
    return GovernanceError("the service is not running")


def _id_of(made: str | Mapping[str, Any]) -> str:
    return made if isinstance(made, str) else str(made["id"])
