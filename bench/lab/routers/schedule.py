"""Questions a second, latencies and prefix hits of a job on four engines."""
import asyncio
import collections
import itertools
import time

from ..figures import percentile
from ..peers.report import table
from .asking import RIGHT, Job
from .questions import in_order
from .report import Column, cell_of, ranked, say_who_is_ahead, title_of
from .standing import standing

LIVE = 3600  # seconds that a client waits: nothing fails here


def cells(options):
    """What there is to measure in a round."""
    return [{"router": router, "workers": workers} for router, workers in
            itertools.product(options.routers, options.workers)]


def measure(options, router, workers, number):
    prompts = in_order(options.asked, options.requests, options.window, f"Round {number}")
    with standing(options.build, router, options.time_scale, options.installed) as stands:
        engines = stands.engines
        before = {name: engines.counted(name) for name in ("prefix_cache_hits", "prefix_cache_queries",
                                                           "request_success")}
        used = [engines.cpu_seconds(), stands.cpu_seconds(), time.process_time()]
        job = Job(stands.ports, prompts, workers, LIVE)
        makespan = asyncio.run(job.run())
        used = [after - at for after, at in zip([engines.cpu_seconds(), stands.cpu_seconds(), time.process_time()],
                                                used)]
        hits, queries, calls = ([after - at for after, at in zip(engines.counted(name), was)]
                                for name, was in before.items())
    took = [outcome.took for outcome in job.outcomes if outcome.kind == RIGHT]
    return {"seen": collections.Counter(outcome.kind for outcome in job.outcomes), "makespan": makespan,
            "per_second": len(took) / makespan, "p50_ms": 1e3 * percentile(took, 50) if took else None,
            "p99_ms": 1e3 * percentile(took, 99) if took else None,
            "hits": 100 * sum(hits) / sum(queries) if sum(queries) else None,
            "busiest": 100 * max(calls) / sum(calls) if sum(calls) else None,
            **{f"{who}_cores": seconds / makespan for who, seconds in zip(("engines", "router", "client"), used)}}


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
    busy = [sample["engines_cores"] + sample["router_cores"] + sample["client_cores"] for sample in samples
            if "failed" not in sample]
    if busy:
        print(f"\nEngines, router and client took {max(busy):.1f} cores at most: when that is all there are, the "
              "engines no longer keep their time.")
