"""One run, in rounds: what there is to do, and what came of it."""
import random
import sys

from ..figures import percentile
from .cases import (BACKENDS, COMPLETION, GROWN_BY_CONNECTIONS, HOPS, HUGE, ONCE, OURS, PLAIN_HOPS, RAG, RATES, SHORT,
                    SIZES, STREAM, TITLES, TLS_TITLES)
from .lab import Lab, resident_mib


class Rounds:
    """`samples`: a dictionary for each measurement."""

    def __init__(self, options, counts):
        self.options, self.counts, self.samples = options, counts, []

    def _lab(self, first=False):
        return Lab(self.options.build, self.options.core, self.options.seconds, self.counts.most, first)

    def _note(self, number, part, target, **more):
        self.samples.append({"part": part, "round": number, "target": target, **more})

    def _load(self, number, part, target, body, connections, backends=1):
        with self._lab() as lab:
            lab.start_stub(backends)
            hop = lab.start(target)
            lab.check(hop, body)
            self._note(number, part, target, body=body.name, connections=connections, backends=backends,
                       **lab.measure_load(hop, body, connections))

    def _latency(self, number, target, rate):
        with self._lab(first=True) as lab:  # or the worst latencies would be other programs'
            lab.start_stub()
            hop = lab.start(target)
            lab.check(hop, SHORT)
            lab.measure_latency(hop, SHORT, 0.5, rate, 64)  # to warm up
            direct, through = lab.measure_latency(hop, SHORT, 4 * self.options.seconds, rate, 64)
            self._note(number, "latency", target, rate=rate, **{
                f"{what}_p{percent}": value for percent in (50, 99)
                for what, value in (("direct", percentile(direct, percent)),
                                    ("added", percentile(through, percent) - percentile(direct, percent)))})

    def _idle(self, number, target):
        with self._lab() as lab:
            lab.start_stub()
            sizes = lab.measure_idle(lab.start(target), SHORT, self.counts.idle)
        with self._lab() as lab:
            lab.start_stub()
            hop = lab.start(target)
            loaded = lab.measure_load(hop, RAG, 64)["resident_mib"]
            huge = lab.measure_load(hop, HUGE, 64)["resident_mib"]
            lab.rest()
            few, many = self.counts.idle[1:]
            self._note(number, "idle", target, loaded=loaded, huge=huge, rested=resident_mib(hop.pid),
                       each_kib=1024 * (sizes[many] - sizes[few]) / (many - few),
                       **{f"at_{count}": size for count, size in sizes.items()})

    def _blocks(self, number):
        """Lists of what is to be compared, hence done one after the other."""
        parts = self.options.parts
        if "load" in parts:
            for body in (SHORT, RAG, COMPLETION):
                yield [(self._load, number, "load", target, body, 64) for target in TITLES]
            yield [(self._load, number, "load", target, SHORT, 512) for target in PLAIN_HOPS]
        if "stream" in parts:
            yield [(self._load, number, "stream", target, STREAM, 64) for target in HOPS]
        if "merge" in parts:
            yield [(self._load, number, "merge", target, COMPLETION, 256) for target in HOPS]
        if "tls" in parts:
            for body in (SHORT, RAG, ONCE):
                yield [(self._load, number, "tls", target, body, 64) for target in TLS_TITLES]
        if "latency" in parts:
            for rate in RATES:
                yield [(self._latency, number, target, rate) for target in HOPS]
        if "idle" in parts:
            yield [(self._idle, number, target) for target in HOPS]
        if "scale" in parts:
            for target in GROWN_BY_CONNECTIONS:
                yield [(self._load, number, "connections", target, SHORT, count) for count in self.counts.load]
            for target in OURS:
                yield [(self._load, number, "bodies", target, body, 64) for body in SIZES]
                yield [(self._load, number, "backends", target, SHORT, 64, count) for count in BACKENDS]

    def run(self, number):
        blocks = list(self._blocks(number))
        random.shuffle(blocks)
        for block in blocks:
            random.shuffle(block)
            for work, *args in block:
                work(*args)
            print(".", end="", file=sys.stderr, flush=True)
        print(f" round {number} of {self.options.rounds}", file=sys.stderr)
