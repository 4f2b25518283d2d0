"""Ours beside the ceiling, nginx and a naive view; gzip; one worker and two."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import load, report
from benchmarks.report import megabytes, milliseconds, number
from benchmarks.rivals import EMPTY, NGINX
from benchmarks.sample import LISTS, PAGE, Sample, writing_gateway
from benchmarks.servers import OURS, RIVALS, Server, Strings, peak, running

A_PAGE = f"a page of {PAGE}"
GZIP = {"Accept-Encoding": "gzip"}
WHOLE = {name: f"{LISTS}/{name}" for name in ("teams", "customers")}
# How fast the naive view was where it was tried, and how long a try may take.
NAIVE_BYTES_A_SECOND = 6e6
NAIVE_SECONDS = 30
TAGS_ASKED = 20  # for entity tags: that two workers share them is all but sure


@dataclass(frozen=True)
class Question:
    """What is asked of ours, and the name of the constant that rivals answer."""

    what: str
    path: str
    constant: str
    headers: Strings = field(default_factory=dict)
    both_modes: bool = True

    @property
    def is_naive_asked(self) -> bool:
        return not self.headers  # it knows neither entity tags nor gzip

    def paths(self) -> Strings:
        """The path of each mode."""
        mark = "&" if "?" in self.path else "?"
        memory = {"memory": f"{self.path}{mark}from_memory=true"}
        return {"database": self.path} | (memory if self.both_modes else {})


def questions(sample: Sample, etag: str) -> list[Question]:
    teams, customers = WHOLE["teams"], WHOLE["customers"]
    page = f"?limit={PAGE}"
    return [
        Question("teams, whole", teams, "teams"),
        Question("customers, whole", customers, "customers"),
        Question(f"teams, {A_PAGE}", teams + page, "teams-page"),
        Question(f"customers, {A_PAGE}", customers + page, "customers-page"),
        Question("teams, one customer", sample.one_customer, "one-customer"),
        Question("customers, a page of 1", customers + "?limit=1", "page-of-one"),
        Question("teams, 304", teams, EMPTY, {"If-None-Match": etag}),
        Question("teams, whole, gzip", teams, "teams.gz", GZIP, both_modes=False),
        Question(
            f"teams, {A_PAGE}, gzip", teams + page, "page.gz", GZIP, both_modes=False
        ),
    ]


@dataclass(frozen=True)
class Rivals:
    """The servers, what ceiling and nginx answer by name, and who asks."""

    ours: Server
    ceiling: Server
    nginx: Server | None
    naive: Server
    constants: Path
    headers: Strings


@contextmanager
def rivals(sample: Sample, ours: Server, asked: list[Question]) -> Iterator[Rivals]:
    """The rivals beside ours, whose answers two of them take."""
    constants = save_constants(sample.folder, sample.headers, ours, asked)
    settings = sample.environment
    with ExitStack() as stack:

        def start(kind: str) -> Server:
            environment = settings | {"CONSTANTS": str(constants)}
            return stack.enter_context(running((*RIVALS, kind), environment))

        nginx = start("nginx") if NGINX else None
        yield Rivals(
            ours, start("ceiling"), nginx, start("naive"), constants, sample.headers
        )


def save_constants(
    folder: Path, headers: Strings, ours: Server, asked: list[Question]
) -> Path:
    """Save the answers to questions in a folder, for rivals to answer the same."""
    constants = folder / "constants"
    constants.mkdir()
    for question in asked:
        file = constants / question.constant
        if question.constant == EMPTY:
            file.touch()  # as a 304 has no body
        else:
            ours.save(question.path, headers | question.headers, file)
    return constants


def tell_load(sample: Sample) -> float | None:
    """Print the table of load; the most memory that our worker had."""
    few = load.COPIES_BYTES // load.CONNECTIONS // 10**6
    report.section(
        "Load",
        "Answers a second: ours from the database, ours from memory, the ceiling's and"
        " nginx's, in turn, and the median of the ratios of runs in the same turn; the"
        " naive view is asked one by one. MB/s and times are of ours, times those of an"
        f" answer while {load.CONNECTIONS} clients ask (fewer, where it has more than"
        f" {few:,} MB). Memory is what our worker had at most so far.",
    )
    report.head(
        *("what", "mode", "ours/s", "ceiling/s", "nginx/s", "naive/s", "of ceiling"),
        *("of nginx", "times naive", "MB/s", "median", "p99", "bytes", "memory"),
    )
    with running(OURS, sample.environment) as ours:
        asked = questions(sample, ours.etag(WHOLE["teams"], sample.headers))
        with rivals(sample, ours, asked) as all_of_them:
            for question in asked:
                _compare_one(question, all_of_them)
        report.end()
        return peak(ours.workers[0])


def _compare_one(question: Question, rivals: Rivals) -> None:
    headers = rivals.headers | question.headers
    size = (rivals.constants / question.constant).stat().st_size
    naive = _naive_rate(question, rivals.naive, headers, size)
    paths = question.paths()
    runs = {
        mode: partial(load.load, rivals.ours, path, headers, size)
        for mode, path in paths.items()
    }
    constant = f"/{question.constant}"
    runs["ceiling"] = partial(load.load, rivals.ceiling, constant, headers, size)
    if nginx := rivals.nginx:
        own = headers | nginx_headers(nginx, question)
        runs["nginx"] = partial(load.load, nginx, constant, own, size)
    done = dict(zip(runs, load.in_turn(*runs.values()), strict=True))
    for mode in paths:
        ours = load.middle(done[mode])
        rates = (
            load.middle(done[name]).rate if name in done else None for name in OTHERS
        )
        ratios = (
            f"{load.ratio(done[mode], done[name]):.2f}" if name in done else "-"
            for name in OTHERS
        )
        report.row(
            *(question.what, mode, number(ours.rate), *map(number, rates)),
            number(naive) if naive else "not tried" if question.is_naive_asked else "-",
            *ratios,
            f"{ours.rate / naive:,.0f}" if naive else "-",
            *(number(ours.megabytes), milliseconds(ours.median)),
            *(milliseconds(ours.p99), f"{size:,}"),
            megabytes(peak(rivals.ours.workers[0])),
        )


OTHERS = ("ceiling", "nginx")


def nginx_headers(nginx: Server, question: Question) -> Strings:
    """Return what a client sends nginx beside the usual: nginx's own entity tag."""
    if question.constant != EMPTY:
        return {}
    return {"If-None-Match": nginx.etag(f"/{EMPTY}", {})}


def _naive_rate(
    question: Question, naive: Server, headers: Strings, size: int
) -> float | None:
    """Answers a second, one after the other; None where one would take too long."""
    if not question.is_naive_asked or size / NAIVE_BYTES_A_SECOND > NAIVE_SECONDS:
        return None
    began, answers = time.perf_counter(), 0
    while not answers or time.perf_counter() - began < load.SECONDS:
        naive.ask(question.path, headers)
        answers += 1
    return answers / (time.perf_counter() - began)


def tell_gzip(sample: Sample) -> None:
    """Print what gzip costs and saves."""
    report.section(
        "gzip",
        "The first gzipped answer when there was a plain one, the same again, and the"
        " first after one changed budget of which the plain answer was asked already:"
        " the difference to `again` is what compressing takes.",
    )
    report.head("what", "plain", "gzip", "of plain", "first", "again", "after a change")
    asked = {f"{name}, whole": path for name, path in WHOLE.items()}
    asked[f"teams, {A_PAGE}"] = f"{WHOLE['teams']}?limit={PAGE}"
    gzip = {**sample.headers, **GZIP}
    with (
        running(OURS, sample.environment) as ours,
        writing_gateway(sample.database, sample.budget) as gateway,
    ):
        for what, path in asked.items():
            ours.time(path, sample.headers)
            first, again = ours.time(path, gzip), ours.time(path, gzip)
            plain = len(ours.ask(path, sample.headers))
            packed = len(ours.ask(path, gzip))
            gateway.change()
            ours.time(path, sample.headers)
            changed = ours.time(path, gzip)
            report.row(
                what,
                *(f"{size:,}" for size in (plain, packed)),
                f"{packed / plain:.2f}",
                *map(milliseconds, (first, again, changed)),
            )
    report.end()


def tell_workers(sample: Sample) -> None:
    """Print what a second worker brings, and whether the two agree."""
    report.section(
        "Workers",
        "Whole lists from one worker and from two, in turn. The client takes part of a"
        " core for itself: with two cores, two workers cannot have twice the rate.",
    )
    report.head("what", "1 worker/s", "2 workers/s", "ratio", "entity tags")
    with (
        running(OURS, sample.environment) as one,
        running(OURS, sample.environment, workers=2) as two,
    ):
        for name, path in WHOLE.items():
            tags = {two.etag(path, sample.headers) for _ in range(TAGS_ASKED)}
            size = len(one.ask(path, sample.headers))
            runs = load.in_turn(
                *(partial(load.load, s, path, sample.headers, size) for s in (one, two))
            )
            report.row(
                name,
                *(number(load.middle(run).rate) for run in runs),
                f"{load.ratio(runs[1], runs[0]):.2f}",
                f"{len(tags)} in {TAGS_ASKED} connections",
            )
        report.end()
        peaks = [megabytes(peak(worker)) for worker in (*one.workers, *two.workers)]
    report.say(
        f"Memory at most: {peaks[0]} the one worker, {' and '.join(peaks[1:])} the two."
    )
