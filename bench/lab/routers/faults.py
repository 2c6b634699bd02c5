"""What clients see, and how long a job takes, when engines fail."""
import asyncio
import collections
import itertools
from dataclasses import dataclass

from ..figures import percentile
from ..peers.report import table
from .asking import RIGHT, Job
from .engines import COUNT
from .questions import in_order
from .report import Column, cell_of, ranked, say_who_is_ahead, title_of
from .schedule import words_of
from .standing import standing


@dataclass(frozen=True)
class Scenario:
    """`begin` and `end` of the trouble, `seconds` apart, which is an option's name; all take the engines."""
    title: str
    seconds: str = ""
    begin: object = None
    end: object = None


SCENARIOS = {
    "none": Scenario("nothing fails"),
    "kill": Scenario("one of four is killed, and back {away:g} s later", "away", lambda engines: engines.kill(0),
                     lambda engines: engines.start_again(0)),
    "hang": Scenario("one of four hangs for {hang:g} s: it takes connections and answers nothing", "hang",
                     lambda engines: engines.halt(0), lambda engines: engines.go_on(0)),
    "down": Scenario("all four are down for {outage:g} s", "outage", lambda engines: engines.kill(*range(COUNT)),
                     lambda engines: engines.start_again(*range(COUNT))),
}


def cells(options):
    return [{"router": router, "scenario": scenario} for router, scenario in
            itertools.product(options.routers, options.scenarios)]


async def _with_trouble(job, engines, scenario, options):
    """The seconds that the job took, and whether the trouble was over before it."""
    async def trouble():
        await job.reached(options.at)
        await asyncio.to_thread(scenario.begin, engines)
        try:
            await asyncio.wait_for(job.ended.wait(), getattr(options, scenario.seconds))
            return False
        except TimeoutError:
            await asyncio.to_thread(scenario.end, engines)
            return True
    running = asyncio.create_task(trouble()) if scenario.begin else None
    makespan = await job.run()
    return makespan, running is None or await running


def longest_stall(outcomes):
    """The longest time without a right answer."""
    ends = sorted([0.0, *(outcome.begun + outcome.took for outcome in outcomes if outcome.kind == RIGHT)])
    return max((after - before for before, after in itertools.pairwise(ends)), default=None)


def measure(options, router, scenario, number):
    prompts = in_order(options.asked, options.fault_requests, options.window, f"Round {number}")
    with standing(options.build, router, options.time_scale, options.installed) as stands:
        job = Job(stands.ports, prompts, options.fault_workers, options.patience)
        makespan, is_over = asyncio.run(_with_trouble(job, stands.engines, SCENARIOS[scenario], options))
    took = [outcome.took for outcome in job.outcomes if outcome.kind == RIGHT]
    return {"seen": collections.Counter(outcome.kind for outcome in job.outcomes), "makespan": makespan,
            "is_over": is_over, "p99_s": percentile(took, 99) if took else None, "slowest": max(took, default=None),
            "stall": longest_stall(job.outcomes)}


ERRORS = Column("errors", "errors", more_is_better=False)
MAKESPAN = Column("makespan, s", "makespan", digits=1, more_is_better=False)
FIGURES = [ERRORS, MAKESPAN, Column("p99, s", "p99_s", digits=1, more_is_better=False),
           Column("slowest, s", "slowest", digits=1, more_is_better=False),
           Column("longest stall, s", "stall", digits=1, more_is_better=False)]


def _seen(samples, router):
    """What clients saw instead of right answers, the most frequent first; and whether they saw all of the trouble."""
    mine = [sample for sample in samples if sample["router"] == router and "failed" not in sample]
    seen = sum((collections.Counter(sample["seen"]) for sample in mine), collections.Counter())
    del seen[RIGHT]
    said = [f"{count} x {kind}" for kind, count in seen.most_common(4)]
    return ", ".join(said + ["through before the trouble was"] * (not all(sample["is_over"] for sample in mine)))


def show(samples, titles, options):
    print(f"\n## Engines fail\n\n{words_of(options, options.fault_requests)}; {options.fault_workers} workers that ask "
          f"nothing twice and wait {options.patience:g} s. The trouble begins when {100 * options.at:.0f} % are "
          "answered. An error is whatever is not the right answer; in `batchproxy-bench`'s words, or the answer's own. "
          "Who loses questions is soon through. A stall is a time without any right answer.")
    for scenario in options.scenarios:
        mine = [sample for sample in samples if sample["scenario"] == scenario]
        rows = [[title_of(router, titles), *(cell_of(mine, router, column) for column in FIGURES), _seen(mine, router)]
                for router in ranked(mine, ERRORS, MAKESPAN)]
        table(f"**{SCENARIOS[scenario].title.format(**vars(options)).capitalize()}**",
              ["", *(column.title for column in FIGURES), "what clients saw"], rows)
        say_who_is_ahead(mine, titles, FIGURES, whole=True)
