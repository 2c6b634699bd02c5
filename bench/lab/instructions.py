"""What every request costs, in instructions.

No noise of the machine changes these figures: they are there to compare before and after. batchproxy-microbench runs
under valgrind's callgrind, each of its parts twice, and the difference is divided; likewise batchproxy itself, asked by
one client, a request at a time, before an engine that costs nothing (bench/stub_engine.cc). HAProxy and nginx are asked
the same where they are installed."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from tests.support.proxy import Proxy

from . import callgrind
from .client import Client
from .engines import stub_engine
from .figures import header, row
from .peers.lab import Lab, find_foreign

PARTS = {
    "head guard": "HeadGuard",
    "scan of a body of 240 B": "BodyScan/240",
    "scan of a body of 6 kB": "BodyScan/6000",
    "prefix key of a prompt of 6 kB": "PrefixKey/6000",
    "a place in the queue and a grant, 1,000 waiting": "EnqueueAndGrant/1000/4",
    "a turn of the lane, 4 engines": "LaneTurn/4",
    "a turn of the lane, 256 engines": "LaneTurn/256",
    "an answer to 16 prompts taken apart": "Demultiplex",
    "check that an answer of 500 B is whole": "AnswerCheck/500",
}
HOPS = {"a hop, nothing batched": "enable_batching: false", "a hop, by default": ""}
PEERS = {"a hop of HAProxy's": "haproxy", "a hop of nginx's": "nginx"}
FEW, MANY = 500, 2500
PROXY_SETTINGS = """
batchproxy:
  io_threads: 1
  metrics_interval: 600
  health_interval: 600
  backends: [{url: "http://127.0.0.1:%s"}]
"""
COMPLETION = b'{"model": "stub", "max_tokens": 1, "prompt": "%s"}' % (200 * b"x")


def add_options(parser):
    pass  # the build says all


def count_part(build, folder, part, times):
    out = folder / "callgrind.out"
    command = [*callgrind.prefix(out), build.microbench, f"--benchmark_filter=^{part}(/|$)"]
    ended = subprocess.run(command, env={**os.environ, "MICRO_ITERATIONS": str(times)}, text=True, capture_output=True,
                           check=False)
    counted = callgrind.total(out)
    if ended.returncode or not counted or "/iterations:" not in ended.stdout:
        raise SystemExit(f"{part} could not be counted:\n{ended.stdout}{ended.stderr}")
    return counted


def ask(port, times):
    client = Client(port)
    for _ in range(times):
        status, answer = client.ask("/v1/completions", COMPLETION)
        if status != 200:
            raise SystemExit(f"a hop could not be counted: {status} {answer}")
    client.close()


def count_hop(build, folder, settings, times):
    out, config = folder / "callgrind.out", folder / "hop.yaml"
    engine = stub_engine(build, folder)
    try:
        config.write_text(settings + PROXY_SETTINGS % engine.port)
        proxy = Proxy(["--config", config], folder, prefix=callgrind.prefix(out), program=build.proxy)
        try:
            proxy.wait_for_line(r"\bready: ")
            ask(proxy.port, times)
        finally:
            proxy.stop()
    finally:
        engine.kill()
    return callgrind.total(out)


def count_peer(build, folder, name, times):
    out = folder / "callgrind.out"
    with Lab(build, max(os.sched_getaffinity(0)), 0, 100, prefix=callgrind.prefix(out)) as lab:
        lab.start_stub()
        hop = lab.start(name)
        ask(hop.port, times)
        hop.process.send_signal(signal.SIGTERM)
        socket.create_connection(("127.0.0.1", hop.port)).close()  # who waits without end under valgrind hears no signal
        hop.wait()
    return callgrind.total(out)


def run(options):
    build = options.build
    build.need(build.microbench, hint=" (it needs libbenchmark-dev)")
    build.need(build.proxy, build.stub_engine)
    callgrind.need_valgrind()
    find_foreign()
    peers = {what: peer for what, peer in PEERS.items() if shutil.which(peer)}
    header("what", "instructions")
    with tempfile.TemporaryDirectory() as name:
        for count, rows in ((count_part, PARTS), (count_hop, HOPS), (count_peer, peers)):
            for what, argument in rows.items():
                few, many = (count(build, pathlib.Path(name), argument, times) for times in (FEW, MANY))
                row(what, f"{(many - few) / (MANY - FEW):,.0f}")
