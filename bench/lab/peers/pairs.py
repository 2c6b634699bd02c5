"""Two hops in turn, in slices so short that what disturbs one disturbs the other: ratios that noise cannot decide.

Both stand before the same stub on the same core, each with a client of its own, of which one always stands still
(SIGSTOP). The order is ABBA: a pair of slices, and one the other way round. Both are started afresh several times, as
where a program's memory happens to lie moves its cost, too."""
import contextlib
import dataclasses
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import time

from ..build import Build
from ..figures import header, row
from ..machine import cpu_seconds, stolen_seconds
from ..options import positive
from .cases import COMPLETION, PAIRS, RAG, SHORT, Body
from .lab import Lab
from .wrk import Wrk

REST = 0.01  # seconds in which what is on its way arrives, when a client has been stopped
WARM = 1.0  # seconds of load before the first slice
RESAMPLED = 2000


@dataclasses.dataclass(frozen=True)
class Case:
    target: str
    peer: str
    body: Body
    connections: int
    backends: int = 1
    threads: int = 1

    @property
    def words(self):
        engines = "" if self.backends == 1 else f", {self.backends} engines"
        threads = "" if self.threads == 1 else f", {self.threads} threads on all cores"
        return (f"{self.target.removeprefix('batchproxy-')}, {self.body.size:,} B, {self.connections} clients{engines}"
                f"{threads}")


CASES = [
    Case("batchproxy-plain", "haproxy", SHORT, 64),
    Case("batchproxy-plain", "haproxy", RAG, 64),
    Case("batchproxy-plain", "haproxy", SHORT, 512),
    Case("batchproxy-plain", "haproxy", RAG, 512),
    Case("batchproxy-default", "haproxy", SHORT, 64, 4),
    Case("batchproxy-default", "haproxy", RAG, 64, 4),
    Case("batchproxy-merged", "haproxy", COMPLETION, 256),
    Case("batchproxy-plain", "haproxy", SHORT, 64, threads=2),
    Case("batchproxy-plain", "haproxy", SHORT, 64, threads=4),
    Case("batchproxy-plain", "haproxy", SHORT, 512, threads=4),
    Case("batchproxy-default", "haproxy", SHORT, 64, 4, threads=4),
    # Another hop that looks into no body.
    Case("nginx", "haproxy", SHORT, 64),
    Case("nginx", "haproxy", RAG, 64),
    # What is left when nothing is parsed: who copies bytes cannot cost less.
    Case("copy", "haproxy", SHORT, 64),
    Case("copy", "haproxy", RAG, 64),
]


def add_options(parser):
    group = parser.add_argument_group(PAIRS)
    group.add_argument("--pairs", type=positive(int), default=40, help="of slices, of each case (40)")
    group.add_argument("--starts", type=positive(int), default=4, help="of both hops, which share the pairs (4)")
    group.add_argument("--slice", type=positive(float), default=0.5, help="seconds (0.5)")
    group.add_argument("--against", type=Build, help="another build folder of batchproxy, instead of HAProxy")


def run(options, most):
    """A table; yields a sample for each of its rows."""
    peer = "the other build" if options.against else "HAProxy"
    print(f"\nCPU per request in pairs of slices of {options.slice:g} s, ABBA, {options.pairs} pairs of {options.starts} "
          "starts: the median, and its interval of 95 % by resampling.\n")
    header("", f"x {peer}", "us/request", f"{peer}'s", "system calls", f"{peer}'s", "switches", f"{peer}'s", "stolen")
    for case in CASES:
        if options.against and not case.target.startswith("batchproxy"):
            continue
        measured = measure(options, case, most)
        middle, low, high = interval(measured["starts"])
        costs = [statistics.median(pair[side] for start in measured["starts"] for pair in start) for side in (0, 1)]
        row(case.words, f"{middle:.3f} ({low:.3f}-{high:.3f})", *(f"{cost:.2f}" for cost in costs),
            *("?" if count["calls"] is None else f"{count['calls']:.2f}" for count in measured["counts"]),
            *(f"{count['switches']:.2f}" for count in measured["counts"]), f"{100 * measured['stolen']:.1f} %")
        yield {"part": PAIRS, "case": case.words, "median": middle, "low": low, "high": high, **measured}


class Side:
    """A hop and the client that asks it, which stands still outside a slice."""

    def __init__(self, lab, stack, target, case, build=None):
        self._lab = lab
        self.hop = lab.start(target, build)
        lab.check(self.hop, case.body)
        self._load = stack.enter_context(Wrk(lab, self.hop, case.body, case.connections))
        time.sleep(WARM)
        self._load.halt()
        time.sleep(REST)

    def slice(self, seconds):
        """CPU microseconds per request."""
        asked, cpu = self._lab.prompts(), cpu_seconds(self.hop.pid)
        self._run_for(seconds)
        asked, cpu = self._lab.prompts() - asked, cpu_seconds(self.hop.pid) - cpu
        if not asked:
            raise SystemExit(f"{self.hop.name} passed no request on in {seconds} s")
        return 1e6 * cpu / asked

    def counts(self, seconds):
        """System calls and context switches per request; nothing of the former where the kernel counts none for us."""
        def switches():
            return sum(int(count) for task in pathlib.Path(f"/proc/{self.hop.pid}/task").iterdir()
                       for count in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))

        with self._counted_calls(seconds) as calls:
            asked, switched = self._lab.prompts(), switches()
            self._run_for(seconds)
            asked, switched = self._lab.prompts() - asked, switches() - switched
        return {"calls": calls[0] / asked if calls else None, "switches": switched / asked}

    def _run_for(self, seconds):
        self._load.go_on()
        time.sleep(seconds)
        self._load.halt()
        time.sleep(REST)

    @contextlib.contextmanager
    def _counted_calls(self, seconds):
        """A list that holds their number at the end, or nothing."""
        counted = []
        if not shutil.which("perf"):
            yield counted
            return
        perf = subprocess.Popen(["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", str(self.hop.pid),
                                 "sleep", str(seconds + 0.5)], stderr=subprocess.PIPE, text=True)
        time.sleep(0.2)  # until it counts; the hop has nothing to do meanwhile
        yield counted
        said = perf.communicate()[1]
        if found := re.match(r"(\d+),", said):
            counted.append(int(found[1]))


def measure(options, case, most):
    """{"starts": [[(CPU of ours, of the peer's) of each pair] of each start], "counts": [ours, the peer's], "stolen":
    the core's share}. The peer is another build of ours where options.against names one."""
    starts, counts = [], []
    began, stolen = time.monotonic(), stolen_seconds(options.core)
    for _ in range(options.starts):
        with Lab(options.build, options.core, WARM, most, threads=case.threads) as lab, contextlib.ExitStack() as stack:
            lab.start_stub(case.backends)
            ours = Side(lab, stack, case.target, case)
            peer = Side(lab, stack, case.target, case, options.against) if options.against else \
                Side(lab, stack, case.peer, case)
            starts.append([pair(ours, peer, number, options.slice)
                          for number in range(-(-options.pairs // options.starts))])
            if not counts:
                counts = [ours.counts(options.slice), peer.counts(options.slice)]
    return {"starts": starts, "counts": counts,
            "stolen": (stolen_seconds(options.core) - stolen) / (time.monotonic() - began)}


def pair(ours, peer, number, seconds):
    """What a slice of each cost, in one order and then in the other."""
    if number % 2 == 0:
        first = ours.slice(seconds)
        return first, peer.slice(seconds)
    first = peer.slice(seconds)
    return ours.slice(seconds), first


def interval(starts, random_source=random.Random(1)):
    """The median of the pairs' ratios with its interval of 95 %: (median, lower, upper). Resampled are the starts, and
    of each its pairs."""
    ratios = [[mine / theirs for mine, theirs in pairs] for pairs in starts]
    medians = []
    for _ in range(RESAMPLED):
        drawn = [random_source.choices(pairs, k=len(pairs)) for pairs in random_source.choices(ratios, k=len(ratios))]
        medians.append(statistics.median(ratio for pairs in drawn for ratio in pairs))
    medians.sort()
    return (statistics.median(ratio for pairs in ratios for ratio in pairs),
            medians[int(0.025 * RESAMPLED)], medians[int(0.975 * RESAMPLED)])
