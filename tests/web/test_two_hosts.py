"""Two instances on two addresses behind nginx, over a primary and its replica."""

import http.client
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from postgres_gateway import PostgresGateway
from postgres_server import ADMIN, Server, free_port, start_or_skip
from service import DEADLINE, Service, settings_in

from addresses import PostgresUrl
from callers.api_keys import create_api_key, revoke_api_key

PATHS = ["/api/governance/teams", "/api/governance/customers?limit=1"]
HOSTS = ["127.0.0.1", "127.0.0.2"]

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream governance {{
        server {first} max_fails=1 fail_timeout=1s;
        server {second} max_fails=1 fail_timeout=1s;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://governance;
            proxy_next_upstream error timeout http_503;
        }}
    }}
}}
"""


class Cluster:
    """A primary, its replica, and what a gateway keeps in them."""

    def __init__(self, primary: Server, replica: Server) -> None:
        self.primary = primary
        self.replica = replica
        self.gateway = PostgresGateway(primary, "config")
        self.gateway.customer("c")
        self.gateway.team("t", "c")
        primary.create_database("access")

    def url(self, name: str, *, standby: bool = False) -> str:
        """A URL with both hosts: the primary's first, or a replica preferred."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.replica.port}"
        which = "prefer-standby" if standby else "any"
        return f"postgresql://{ADMIN}@{hosts}/{name}?target_session_attrs={which}"

    def catch_up(self) -> None:
        """Wait until the replica has all of the primary."""
        ((written,),) = self.gateway.fetch("SELECT pg_current_wal_flush_lsn()::text")
        query = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
        wait_until(lambda: self.replica.fetch("postgres", query)[0][0])


def wait_until(condition: Any) -> None:
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen"
        sleep(0.02)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    primary = start_or_skip()
    replica = primary.replica()
    try:
        yield Cluster(primary, replica)
    finally:
        replica.remove()
        primary.remove()


@pytest.fixture
def token(cluster: Cluster) -> str:
    return create_api_key(access_of(cluster), "dashboard")


def access_of(cluster: Cluster) -> PostgresUrl:
    return PostgresUrl(cluster.primary.url("access"))


@pytest.fixture
def instances(cluster: Cluster, token: str, tmp_path: Path) -> Iterator[list[Service]]:
    """One reads the primary, the other the replica; each knows both."""
    cluster.catch_up()
    started = []
    for host, standby in zip(HOSTS, (False, True), strict=True):
        settings = settings_in(tmp_path) | {
            "GOVERNANCE_DATABASE": cluster.url("config", standby=standby),
            "GOVERNANCE_ACCESS_DATABASE": cluster.url("access"),
            "GOVERNANCE_SNAPSHOT_SECONDS": "0.2",
        }
        started.append(Service(settings, "--host", host))
    yield started
    for service in started:
        service.end()


@pytest.fixture
def proxy(instances: list[Service], tmp_path: Path) -> Iterator[int]:
    """The port of an nginx in front of both."""
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        pytest.skip("needs nginx, which is not installed")
    port = free_port("127.0.0.1")
    first, second = (f"{each.host}:{each.port}" for each in instances)
    text = NGINX.format(folder=tmp_path, first=first, second=second, port=port)
    (tmp_path / "nginx.conf").write_text(text)
    with running([nginx, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]):
        wait_until(lambda: is_listening(port))
        yield port


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE)


def is_listening(port: int) -> bool:
    try:
        ask("127.0.0.1", port, "/healthz", "")
    except OSError:
        return False
    return True


def ask(host: str, port: int, path: str, token: str) -> tuple[int, str | None, bytes]:
    """The status, the entity tag and the body of an answer."""
    connection = http.client.HTTPConnection(host, port, timeout=DEADLINE)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.getheader("ETag"), body


def all_answers(port: int, token: str, times: int = 10) -> set[Any]:
    return {ask("127.0.0.1", port, PATHS[0], token) for _ in range(times)}


def test_both_instances_answer_alike(
    cluster: Cluster, instances: list[Service], proxy: int, token: str
) -> None:
    for number in range(5):
        cluster.gateway.execute(f"UPDATE governance_teams SET name = 'Team {number}'")
        cluster.catch_up()
        for path in PATHS:
            answers = {ask(each.host, each.port, path, token) for each in instances}
            ((status, tag, body),) = answers
            assert (status, bool(tag)) == (200, True)
            assert b'"Team %d"' % number in body
            assert ask("127.0.0.1", proxy, path, token) == (status, tag, body)


def test_a_key_counts_on_all_from_the_next_request_on(
    cluster: Cluster, instances: list[Service], token: str
) -> None:
    def statuses(key: str) -> set[int]:
        return {ask(each.host, each.port, PATHS[0], key)[0] for each in instances}

    another = create_api_key(access_of(cluster), "another")

    assert statuses(another) == statuses(token) == {200}
    revoke_api_key(access_of(cluster), "another")
    assert statuses(another) == {401}


def test_one_that_is_killed_is_not_missed(
    instances: list[Service], proxy: int, token: str
) -> None:
    before = all_answers(proxy, token)

    instances[0].process.send_signal(signal.SIGKILL)
    instances[0].process.wait(DEADLINE)

    assert all_answers(proxy, token) == before
    assert len(before) == 1


def test_when_the_primary_fails_the_replica_takes_over(
    cluster: Cluster, instances: list[Service], proxy: int, token: str
) -> None:
    cluster.primary.stop(signal.SIGQUIT)
    answers = all_answers(proxy, token)
    assert {status for status, _, _ in answers} == {200}

    cluster.replica.promote()
    update = "UPDATE governance_teams SET name = 'After'"
    wait_until(lambda: executes(cluster.replica, update))

    answers = {ask(each.host, each.port, PATHS[0], token) for each in instances}
    ((status, _, body),) = answers
    assert status == 200
    assert b'"After"' in body
    assert all_answers(proxy, token) == answers


def executes(server: Server, statement: str) -> bool:
    try:
        server.execute("config", statement)
    except psycopg.Error:
        return False
    return True
