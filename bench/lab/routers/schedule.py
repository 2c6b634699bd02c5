"""Questions a second, latencies and prefix hits of a job on four engines."""
import asyncio
import collections
import itertools
import os
import time

from ..figures import percentile
from ..machine import idle_seconds
from ..peers.report import table
from .asking import RIGHT, Job
from .questions import in_order
from .report import Column, cell_of, ranked, say_who_is_ahead, title_of
from .standing import standing

LIVE = 3600  # seconds that a client waits: nothing fails here
CORES = os.cpu_count()


def cells(options):
    """What there is to measure in a round."""
    return [{"router": router, "workers": workers} for router, workers in
            itertools.product(options.routers, options.workers)]


def _cores_used(stands):
    """Seconds of CPU so far, of the engines, the router, the clients (we), and the whole machine's idle ones."""
    return {"engines": stands.engines.cpu_seconds(), "router": stands.cpu_seconds(), "client": time.process_time(),
            "idle": sum(map(idle_seconds, range(CORES)))}


def measure(options, router, workers, number):
    prompts = in_order(options.asked, options.requests, options.window, f"Round {number}")
    with standing(options.build, router, options.time_scale, options.installed) as stands:
        before = {name: stands.engines.counted(name) for name in ("prefix_cache_hits", "prefix_cache_queries",
                                                                  "request_success")}
        used = _cores_used(stands)
        job = Job(stands.ports, prompts, workers, LIVE)
        makespan = asyncio.run(job.run())
        cores = {who: (after - used[who]) / makespan for who, after in _cores_used(stands).items()}
        hits, queries, calls = ([after - at for after, at in zip(stands.engines.counted(name), was)]
                                for name, was in before.items())
    cores["others"] = max(0.0, CORES - sum(cores.values()))
    took = [outcome.took for outcome in job.outcomes if outcome.kind == RIGHT]
    return {"seen": collections.Counter(outcome.kind for outcome in job.outcomes), "makespan": makespan,
            "per_second": len(took) / makespan, "p50_ms": 1e3 * percentile(took, 50) if took else None,
            "p99_ms": 1e3 * percentile(took, 99) if took else None,
            "hits": 100 * sum(hits) / sum(queries) if sum(queries) else None,
            "busiest": 100 * max(calls) / sum(calls) if sum(calls) else None,
            "cores": cores, "router_cores": cores["router"]}


FIGURES = [Column("questions/s", "per_second", more_is_better=True),
           Column("p50 ms", "p50_ms", more_is_better=False),
           Column("p99 ms", "p99_ms", more_is_better=False),
           Column("prefix hits, %", "hits", more_is_better=True),
           Column("errors", "errors", more_is_better=False)]
OTHERS = [Column("most of an engine, %", "busiest"),
          Column("router, cores", "router_cores", digits=2)]


def words_of(options, requests):
    pace = "" if options.time_scale == 1 else f", a second of theirs in {options.time_scale:g} s"
    return (f"{requests:,} questions ({options.subject}), mixed within {options.window}; four simulated engines of two "
            f"A100s each{pace}")


def show(samples, titles, options):
    print(f"\n## A job on four engines\n\n{words_of(options, options.requests)}.")
    for workers in options.workers:
        mine = [sample for sample in samples if sample["workers"] == workers]
        rows = [[title_of(router, titles), *(cell_of(mine, router, column) for column in (*FIGURES, *OTHERS))]
                for router in ranked(mine, FIGURES[0])]
        table(f"**{workers} workers**", ["", *(column.title for column in (*FIGURES, *OTHERS))], rows)
        say_who_is_ahead(mine, titles, FIGURES)
    cores = [sample["cores"] for sample in samples if "failed" not in sample]
    if cores:
        print("\nCores that were used, at most: " + ", ".join(
            f"{who} {max(each[name] for each in cores):.1f}" for name, who in
            {"engines": "engines", "client": "clients", "others": "other programs"}.items()) +
            f", of {CORES}. Where all are busy, engines no longer keep their time.")
