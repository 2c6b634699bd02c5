"""What other routers make of four engines, beside batchproxy: nginx, HAProxy, SMG, sglang-router, vLLM's, LiteLLM.

schedule: a job of questions that share passages; questions a second, latencies, prefix hits, errors.
faults: the same with one engine killed, one that hangs, and all of them down; errors and makespan.

Engines are simulated, and fresh for every row; each router has the settings that its documentation recommends
(recipes.py); the clients check every answer and ask nothing twice. Rows of a round come in a new order. A router that
is not installed is left out and named. nginx and haproxy are Debian's; `scripts/python-tools --routers` installs the
others, each in an environment of its own, in build/routers (BATCHPROXY_ROUTERS, --installed), from packages.txt.
All of it takes two hours: --rounds 1, --parts, --routers and --scenarios take less; --out keeps what is measured."""
import os
import pathlib
import platform
import random
import re
import signal
import sys

from ..machine import raise_descriptors
from ..options import counts, names_of, positive, share, writable
from . import faults, installed, questions, schedule
from .faults import SCENARIOS
from .recipes import OURS, ROUTERS
from .report import errors_of
from .samples import Samples
from .standing import NotMeasured

PARTS = {"schedule": schedule, "faults": faults}
# What makes two samples comparable.
SETTINGS = ["subject", "window", "time_scale", "requests", "fault_requests", "fault_workers", "at", "away", "hang",
            "outage", "patience"]


def add_options(parser):
    parser.add_argument("--parts", type=names_of(PARTS), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--routers", type=names_of(ROUTERS), default=list(ROUTERS),
                        help=f"some of {','.join(ROUTERS)}")
    parser.add_argument("--installed", type=pathlib.Path, default=installed.FOLDER, help="where (build/routers)")
    parser.add_argument("--rounds", type=positive(int), default=3)
    parser.add_argument("--questions", type=pathlib.Path, help="JSON Lines, as configs/questions.jsonl (made ones)")
    parser.add_argument("--one-passage", action="store_true", help="ask all of them about the first one's passage")
    parser.add_argument("--window", type=positive(int), default=256, help="within which questions are mixed (256)")
    parser.add_argument("--time-scale", type=positive(float), default=1.0, help="of the engines (1.0: real time)")
    parser.add_argument("--out", type=writable, help="every sample, as JSON Lines; a stopped run goes on there")
    job = parser.add_argument_group("schedule")
    job.add_argument("--workers", type=counts, default=[64, 128], help="(64,128)")
    job.add_argument("--requests", type=positive(int), default=1648, help="of each row (1648)")
    fault = parser.add_argument_group("faults")
    fault.add_argument("--scenarios", type=names_of(SCENARIOS), default=list(SCENARIOS), help=",".join(SCENARIOS))
    fault.add_argument("--fault-workers", type=positive(int), default=64, help="(64)")
    fault.add_argument("--fault-requests", type=positive(int), default=6180, help="of each row (6180)")
    fault.add_argument("--at", type=share, default=0.2, help="the share that is answered when the trouble begins (0.2)")
    fault.add_argument("--away", type=positive(float), default=10, help="seconds until a killed engine is back (10)")
    fault.add_argument("--hang", type=positive(float), default=20, help="seconds that one hangs (20)")
    fault.add_argument("--outage", type=positive(float), default=15, help="seconds that all are down (15)")
    fault.add_argument("--patience", type=positive(float), default=180, help="seconds that a client waits (180)")


def find_routers(options):
    """{router: title with its version} of those that are there, and why the others are not."""
    titles, missing = {}, {}
    for name in options.routers:
        router = ROUTERS[name]
        try:
            program = options.build.proxy if name == OURS else router.package and installed.find(router.package,
                                                                                                 options.installed)
        except installed.Missing as error:
            missing[name] = str(error)
            continue
        titles[name] = router.title.format(installed.version_of(router.package, program) if program else "")
    return titles, missing


def read_questions(options):
    asked = questions.read(options.questions) if options.questions else questions.make()
    name = options.questions.name if options.questions else f"{len(asked)} made ones"
    if options.one_passage:
        return questions.about_one_passage(asked), f"{name} about one passage"
    return asked, name


def describe_machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


def measure(part, cell, number, options):
    key = {"part": part, **cell, "round": number}
    try:
        return {**key, **PARTS[part].measure(options, **cell, number=number)}
    except (NotMeasured, AssertionError, OSError) as error:
        return {**key, "failed": f"{type(error).__name__}: {error}"}


def tell(sample):
    """A line on stderr: there are hours until the tables."""
    what = " ".join(str(sample[name]) for name in ("part", "workers", "scenario") if name in sample)
    became = f"failed: {sample['failed']}" if "failed" in sample else \
        f"{sample['makespan']:.1f} s, {errors_of(sample)} errors"
    print(f"round {sample['round']}, {what}, {sample['router']}: {became}", file=sys.stderr, flush=True)


class CtrlC:
    """Remembers it: Python drops the KeyboardInterrupt of one that comes while a hook of fork or a destructor runs."""

    def __init__(self):
        self._has_come = False
        signal.signal(signal.SIGINT, self._take)

    def _take(self, *_):
        self._has_come = True
        raise KeyboardInterrupt

    def check(self):
        if self._has_come:
            raise KeyboardInterrupt


def measure_all(samples, options):
    """What is not there yet; False when Ctrl-C ended it."""
    ctrl_c = CtrlC()
    try:
        for number in range(1, options.rounds + 1):
            todo = [(part, cell) for part in options.parts for cell in PARTS[part].cells(options)]
            random.Random(number).shuffle(todo)
            for part, cell in todo:
                if not samples.has(part=part, **cell, round=number):
                    samples.add(sample := measure(part, cell, number, options))
                    tell(sample)
                ctrl_c.check()
    except KeyboardInterrupt:
        print(f"stopped{f': the same command goes on with {options.out}' if options.out else ''}", file=sys.stderr)
        return False
    return True


def run(options):
    options.build.need(options.build.proxy)
    raise_descriptors(2048)
    titles, missing = find_routers(options)
    for name, why in missing.items():
        print(f"left out: {name}: {why}", file=sys.stderr, flush=True)
    options.routers = list(titles)
    options.asked, options.subject = read_questions(options)
    samples = Samples(options.out, {name: getattr(options, name) for name in SETTINGS})
    is_whole = measure_all(samples, options)
    report(samples, titles, missing, options)
    if not is_whole:
        raise SystemExit(130)


def report(samples, titles, missing, options):
    print(f"{describe_machine()}; {', '.join(sorted({title.partition(',')[0] for title in titles.values()}))}; medians "
          f"(least-most) of {options.rounds} round{'' if options.rounds == 1 else 's'}.")
    for part in options.parts:
        PARTS[part].show([sample for sample in samples.of(part=part) if sample["router"] in titles], titles, options)
    for part in options.parts:
        for sample in samples.of(part=part):
            if "failed" in sample:
                print(f"\nNot measured: {sample['router']}, {part}, round {sample['round']}: {sample['failed']}")
    for name, why in missing.items():
        print(f"\nNot measured: {name}: {why}.")
