"""What a hop before an engine costs, beside HAProxy and nginx.

All in one run: CPU per request, added latency, memory; and how batchproxy's cost grows. The floor is a hop that copies
bytes and parses nothing (bench/copy_hop.cc). Client, hop and engine (bench/stub_engine.cc) share one core, where ratios
repeat best; in each round the hops take turns in a new order, each started afresh, and ratios are those of one round.

The part `pairs` says who is ahead: two hops in turn, in short slices, ABBA (pairs.py). --against BUILD has it compare
with another build of batchproxy, to judge a change by. Needs wrk, haproxy and nginx; perf, if it is there, counts
system calls."""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

from ..machine import may_go_first, raise_descriptors
from ..options import names_of, positive, writable
from . import pairs
from .cases import PAIRS, PARTS, Counts
from .lab import find_foreign
from .report import Report
from .rounds import Rounds


def core(text):
    if int(text) not in os.sched_getaffinity(0):
        raise argparse.ArgumentTypeError(f"there is no core {text}")
    return int(text)


def add_options(parser):
    parser.add_argument("--rounds", type=positive(int), default=10)
    parser.add_argument("--seconds", type=positive(float), default=2, help="that each measurement takes (2)")
    parser.add_argument("--core", type=core, default=max(os.sched_getaffinity(0)), help="to run on (the last)")
    parser.add_argument("--parts", type=names_of(PARTS), default=list(PARTS),
                        help="; ".join(f"{part}: {what}" for part, what in PARTS.items()))
    pairs.add_options(parser)
    parser.add_argument("--out", type=writable, help="every measurement, as JSON; written after every round")


def need_programs(build):
    find_foreign()
    build.need(build.proxy, build.stub_engine, build.copy_hop)
    if missing := [tool for tool in ("haproxy", "nginx", "wrk") if not shutil.which(tool)]:
        raise SystemExit(f"missing: {', '.join(missing)}; on Debian: apt-get install haproxy nginx wrk")


def need_descriptors(parts):
    """As many as there may be; the hops have the same limit from us."""
    most = raise_descriptors(4096)
    if most < 20_400 and {"idle", "scale"} & set(parts):
        print(f"{most} file descriptors (ulimit -Hn) are too few for 10,000 connections: "
              f"{most // 2 - 200:,} it will be", file=sys.stderr)
    return most


def describe_machine(options):
    def first(pattern, text):
        found = re.search(pattern, text)
        return found[1] if found else "?"

    def version(*command):
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
        return first(r"\b(\d+\.\d+[.\d]*)", said)

    return {"cores": os.cpu_count(), "used": f"core {options.core}",
            "processor": first(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()),
            "kernel": platform.release(), "batchproxy": version(options.build.proxy, "--version"),
            "HAProxy": version("haproxy", "-v"), "nginx": version("nginx", "-v"), "wrk": version("wrk", "-v"),
            "latencies": f"taken {'before' if may_go_first() else 'beside'} other programs"}


def run(options):
    need_programs(options.build)
    rounds = Rounds(options, Counts(need_descriptors(options.parts)))
    machine = describe_machine(options)
    print("; ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)

    def keep(samples):
        if options.out:
            options.out.write_text(json.dumps({"machine": machine, "samples": samples}, indent=1))

    paired = []
    if PAIRS in options.parts:
        for sample in pairs.run(options, rounds.counts.most):
            paired.append(sample)
            keep(paired)
    if options.parts == [PAIRS]:
        return
    for number in range(1, options.rounds + 1):
        rounds.run(number)
        keep([*paired, *rounds.samples])
    Report(rounds).show()
