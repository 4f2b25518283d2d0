"""/metrics, for Prometheus: requests, snapshots, the budgets of teams and customers.

Only imported by `serve --metrics`, since the Prometheus client takes its time.
"""

from collections.abc import Iterator
from time import monotonic
from typing import cast
from weakref import ref

from flask import Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from callers.authenticator import Authenticator, Kind
from snapshot.keeper import Keeper
from snapshot.snapshot import Snapshot
from snapshot.spending import Spending, of_customers_and_teams
from store.failures import DatabaseUnavailable
from web.metrics.request_counts import BOUNDS, RequestCounts
from web.surroundings import Surrounded

PATH = "/metrics"
TAKEN = (Kind.MANAGEMENT_KEY, Kind.ADMIN_JWT)  # who sees all budgets anyway
# Places of the numbers that are counted beside those of requests.
SNAPSHOTS, SNAPSHOT_SECONDS, FAILURES, NUMBERS = range(4)

Families = Iterator[Metric]


def add_metrics(app: Flask) -> None:
    """Let an application count its requests, and answer /metrics.

    Before its workers are forked: they share the counts.
    """
    app.add_url_rule(PATH, view_func=show_metrics)
    routes = [rule.rule for rule in app.url_map.iter_rules() if not rule.arguments]
    counts = RequestCounts(sorted(set(routes)), NUMBERS)
    keeper: Keeper = app.extensions["keeper"]
    keeper.watcher = SnapshotCounts(counts)
    entrance: Surrounded = app.extensions["entrance"]
    entrance.surround(counts)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceMetrics(counts, keeper))
    app.extensions["metrics"] = registry


def show_metrics() -> Response:
    """Answer all metrics in the format that the client asks for."""
    authenticator = cast(Authenticator, current_app.extensions["authenticator"])
    header, remote = request.headers.get("Authorization"), request.remote_addr
    g.caller = authenticator.identify(header, remote, TAKEN, monotonic())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    response = Response(encode(current_app.extensions["metrics"]))
    response.headers["Content-Type"] = content_type
    response.headers["Cache-Control"] = "no-store"
    return response


class SnapshotCounts:
    """Counts the snapshots of all workers, for the keeper of each."""

    def __init__(self, counts: RequestCounts) -> None:
        self._shared, self._first = counts.shared, counts.first_other

    def taken(self, seconds: float) -> None:
        self._shared.add(self._first + SNAPSHOTS)
        self._shared.add(self._first + SNAPSHOT_SECONDS, seconds)

    def failed(self) -> None:
        self._shared.add(self._first + FAILURES)


class ServiceMetrics(Collector):
    """All metrics, made when they are asked for."""

    def __init__(self, counts: RequestCounts, keeper: Keeper) -> None:
        self._counts = counts
        self._keeper = keeper
        self._spending: tuple[ref[Snapshot], list[Spending]] | None = None

    def describe(self) -> list[Metric]:
        return []  # names are not looked for twice

    def collect(self) -> Families:
        snapshot = self._snapshot()
        totals = self._counts.shared.totals()
        yield from self._requests(totals)
        yield from self._snapshots(totals[self._counts.first_other :])
        if snapshot is not None:
            yield GaugeMetricFamily(
                "governance_snapshot_age_seconds",
                "Time since the snapshot was known to be current.",
                value=self._keeper.age(),
            )
            yield _entities(snapshot)
            yield from _budgets(self._spending_of(snapshot))

    def _snapshot(self) -> Snapshot | None:
        """Return the current snapshot, or the last one, if there is any."""
        try:
            return self._keeper.current()
        except (DatabaseUnavailable, RuntimeError):  # which is counted, and logged
            return self._keeper.remembered() if self._keeper.has_snapshot else None

    def _requests(self, totals: list[float]) -> Families:
        requests = CounterMetricFamily(
            "governance_requests",
            "Requests that were answered.",
            labels=("route", "mode", "status"),
        )
        for kind, status, count in self._counts.by_status(totals):
            requests.add_metric((*kind, status), count)
        yield requests
        took = HistogramMetricFamily(
            "governance_request_duration_seconds",
            "Time until the headers of an answer were known.",
            labels=("route", "mode"),
        )
        for kind, timing in self._counts.timings(totals):
            total, buckets = 0, []
            bounds = [*map(str, BOUNDS), "+Inf"]
            for bound, count in zip(bounds, timing.counts, strict=True):
                total += count
                buckets.append((bound, total))
            took.add_metric(kind, buckets, timing.seconds)
        yield took

    def _snapshots(self, totals: list[float]) -> Families:
        yield SummaryMetricFamily(
            "governance_snapshot_duration_seconds",
            "Time that reading the changed database took, in all workers.",
            count_value=int(totals[SNAPSHOTS]),
            sum_value=totals[SNAPSHOT_SECONDS],
        )
        yield CounterMetricFamily(
            "governance_snapshot_failures",
            "Looks at the database that failed, in all workers.",
            value=totals[FAILURES],
        )

    def _spending_of(self, snapshot: Snapshot) -> list[Spending]:
        """Return the budgets of a snapshot, which are made once."""
        kept = self._spending
        if kept is None or kept[0]() is not snapshot:
            found = list(of_customers_and_teams(snapshot.index))
            self._spending = kept = (ref(snapshot), found)
        return kept[1]


def _entities(snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily(
        "governance_snapshot_entities", "Rows in the snapshot.", labels=("kind",)
    )
    for kind, count in snapshot.counts.items():
        family.add_metric((kind,), count)
    return family


def _budgets(spending: list[Spending]) -> Families:
    labels = ("kind", "id", "name", "budget_id", "period")
    usage = GaugeMetricFamily(
        "governance_budget_usage", "What is used of a budget.", labels=labels
    )
    limit = GaugeMetricFamily(
        "governance_budget_limit", "What may be used of a budget.", labels=labels
    )
    reset = GaugeMetricFamily(
        "governance_budget_reset_timestamp",
        "When the usage of a budget is due to be reset.",
        labels=labels,
    )
    for each in spending:
        owner, (budget_id,) = each.owner, each.budget_ids
        values = (owner.kind, owner.id, owner.name, budget_id, each.period)
        usage.add_metric(values, each.used)
        limit.add_metric(values, each.limit)
        if each.resets_at is not None:
            reset.add_metric(values, each.resets_at.timestamp())
    yield from (usage, limit, reset)
