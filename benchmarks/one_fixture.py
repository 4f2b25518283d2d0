"""One stand-in as a test run uses it: started, emptied and filled, and stopped.

Run as a file of its own, with the Python of an environment that has it:
`python benchmarks/one_fixture.py ours|moto|httpserver`. It prints JSON: seconds until
it answered, imports and all, the median of emptying and filling it, and stopping.
"""

import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 20
KEYS = 3

# Of a stand-in: its URL to ask, a reset with a small load, and how to stop it.
Started = tuple[str, Callable[[], Any], Callable[[], Any]]


def ours() -> Started:
    """A team with a budget and three virtual keys."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from governance_lists.client import GovernanceLists

    governance = GovernanceLists()
    governance.start()

    def fill() -> None:
        governance.reset()
        governance.team(name="Red", budget=100, virtual_keys=KEYS)

    return f"{governance.url}/healthz", fill, governance.stop


def moto() -> Started:
    """A bucket and three objects."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").disabled = True
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"

    def fill() -> None:
        ask("POST", f"{url}/moto-api/reset")
        ask("PUT", f"{url}/bucket")
        for number in range(KEYS):
            ask("PUT", f"{url}/bucket/{number}")

    return f"{url}/moto-api/", fill, server.stop


def httpserver() -> Started:
    """Four canned answers, which are no more than that."""
    from pytest_httpserver import HTTPServer

    server = HTTPServer(port=0)
    server.start()
    server.expect_request("/ready").respond_with_data("")

    def fill() -> None:
        server.clear()
        for number in range(1 + KEYS):
            server.expect_request(f"/{number}").respond_with_json({"name": "Red"})

    return server.url_for("/ready"), fill, server.stop


def ask(method: str, url: str) -> None:
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/x/us-east-1/s3/aws4"}
    request = urllib.request.Request(
        url, b"" if method != "GET" else None, headers, method=method
    )
    urllib.request.urlopen(request, timeout=60).close()


def main(name: str) -> None:
    began = time.perf_counter()
    url, fill, stop = {"ours": ours, "moto": moto, "httpserver": httpserver}[name]()
    ask("GET", url)
    ready = time.perf_counter() - began
    fill()
    fills = [timed(fill) for _ in range(ROUNDS)]
    told = {"ready": ready, "fill": statistics.median(fills), "stop": timed(stop)}
    print(json.dumps(told))


def timed(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1])
