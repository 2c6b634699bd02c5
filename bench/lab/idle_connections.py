"""What an idle client connection costs: memory, and the latency of others.

All of them have made a request. They rest alone, and beside 8 workers. Needs as many file descriptors (ulimit -Hn)."""
import json
import time

from tests.support.asking import MODEL

from .client import connect
from .engines import one_engine
from .load import Workers
from .machine import raise_descriptors, resident
from .options import positive

WORKERS = 8
QUESTION = json.dumps({"model": MODEL, "prompt": "Is it so? Answer:", "max_tokens": 1}).encode()


def add_options(parser):
    parser.add_argument("connections", nargs="?", type=positive(int), default=10000, help="how many (10000)")
    parser.add_argument("--seconds", type=positive(float), default=10, help="that latencies are taken for (10)")


def connect_and_weigh(proxy, count, beside):
    before = resident(proxy.pid)
    clients = connect(proxy.port, count)
    after = resident(proxy.pid)
    print(f"{count} idle connections {beside}: {(after - before) / count:.0f} bytes each "
          f"({before / 2**20:.1f} MiB before, {after / 2**20:.1f} MiB with them)", flush=True)
    return clients


def run(options):
    options.build.need(options.build.proxy)
    count = options.connections
    raise_descriptors(count + 200)
    settings = {"max_connections": count + 150, "idle_timeout": 3600}
    with one_engine(options.build, **settings) as proxy:
        first = connect(proxy.port, 100)  # what the first few cost is the process's, not theirs
        for client in first + connect_and_weigh(proxy, count, "alone"):
            client.close()
    with one_engine(options.build, **settings) as proxy:
        clients = connect(proxy.port, 100)
        load = Workers(proxy.port, WORKERS, QUESTION)
        try:
            time.sleep(2)
            print(f"{WORKERS} workers without them: {load.latencies_over(options.seconds)}", flush=True)
            clients += connect_and_weigh(proxy, count, f"beside {WORKERS} workers")
            print(f"{WORKERS} workers beside them: {load.latencies_over(options.seconds)}", flush=True)
        finally:
            load.stop()
        for client in clients:
            client.close()
