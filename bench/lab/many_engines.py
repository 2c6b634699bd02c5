"""What hundreds of engines cost: a decision, the metrics, the page, and a reload.

A decision is timed alone, by batchproxy-microbench. The rest is of a batchproxy before simulated engines that another
one has started; half of them are taken away from it and given back by reloads."""
import http.client
import json
import pathlib
import subprocess
import tempfile
import time

from tests.support.asking import MODEL, call
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

from .client import Client
from .engines import PATIENCE, pairs
from .figures import header, row
from .machine import cpu_seconds, raise_descriptors, resident
from .options import counts, positive

MOST = 256  # backends of one batchproxy
TURNS = ("LaneTurn", "EnqueueAndGrant/1000")
LOOKS = 10
QUESTION = json.dumps({"model": MODEL, "prompt": "Is it so? Answer:", "max_tokens": 1}).encode()


def add_options(parser):
    parser.add_argument("--engines", type=counts, default=[4, 64, MOST], help="how many, with commas (4,64,256)")
    parser.add_argument("--requests", type=positive(int), default=2000, help="for what one costs (2000)")
    parser.add_argument("--seconds", type=positive(float), default=10, help="for what it costs while nobody asks (10)")


def time_turns(build):
    """{name of a part: {engines: microseconds of processor time}}"""
    words = [build.microbench, f"--benchmark_filter=^({'|'.join(TURNS)})/", "--benchmark_format=json"]
    said = json.loads(subprocess.run(words, text=True, capture_output=True, check=True).stdout)
    found = {}
    for one in said["benchmarks"]:
        part, _, engines = one["name"].rpartition("/")
        found.setdefault(part, {})[int(engines)] = one["cpu_time"] / 1e3
    return found


def show_turns(build):
    turns = time_turns(build)
    header("a request in the lane, µs of processor time", *(f"{count} engines" for count in turns[TURNS[0]]))
    row("half of the room is taken", *(f"{time:.2f}" for time in turns[TURNS[0]].values()))
    row("1,000 wait, four prompts each begin alike", *(f"{time:.2f}" for time in turns[TURNS[1]].values()))
    print(flush=True)


def look(proxy, path):
    """KiB, and milliseconds of processor time."""
    busy = cpu_seconds(proxy.pid)
    for _ in range(LOOKS):
        response, body = call(proxy.admin, path)
        if response.status != 200:
            raise SystemExit(f"{path} was answered {response.status}: {body}")
    return f"{len(body) / 1024:.0f}, {1e3 * (cpu_seconds(proxy.pid) - busy) / LOOKS:.1f}"


def kib_of_a_second(proxy):
    """Of the page's stream: a picture that comes when the history has been sent."""
    connection = http.client.HTTPConnection(proxy.admin.removeprefix("http://"), timeout=PATIENCE)
    connection.request("GET", "/ui/events")
    stream, pictures = connection.getresponse(), []
    while len(pictures) < 2:
        lines = list(iter(stream.readline, b"\n"))
        if not any(line.startswith(b"event: ") for line in lines):
            pictures.append(sum(map(len, lines)))
    connection.close()
    return pictures[-1] / 1024


class Engines:
    """The configuration of a batchproxy before engines that run already."""

    def __init__(self, path, urls):
        self.path, self.urls = path, urls

    def write(self, first=0):
        backends = [{"url": url} for url in self.urls[first:]]
        self.path.write_text(json.dumps({"batchproxy": {"io_threads": 1, "backends": backends}}))


def ready(proxy):
    return sum(one["state"] == "ready" for one in proxy.status()["backends"])


def reload(proxy, wanted):
    """Milliseconds until it is answered, and seconds until as many engines are ready as are wanted."""
    start = time.perf_counter()
    response, body = call(proxy.admin, "/admin/reload", method="POST")
    answered = time.perf_counter()
    if response.status != 200:
        raise SystemExit(f"the reload was answered {response.status}: {body}")
    wait_until(lambda: ready(proxy) == wanted, f"{wanted} engines", PATIENCE)
    return f"{1e3 * (answered - start):.0f}, {time.perf_counter() - start:.1f}"


def measure(build, urls, options):
    count = len(urls)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        engines = Engines(folder / "lab.yaml", urls)
        engines.write()
        start = time.perf_counter()
        proxy = Proxy(["--config", engines.path], folder, program=build.proxy)
        try:
            wait_until(lambda: ready(proxy) == count, f"{count} engines", PATIENCE)
            began = time.perf_counter() - start
            busy = cpu_seconds(proxy.pid)
            time.sleep(options.seconds)
            idle = (cpu_seconds(proxy.pid) - busy) / options.seconds
            client = Client(proxy.port)
            for _ in range(count):  # each engine's connection is there then
                client.ask("/v1/completions", QUESTION)
            busy, start = cpu_seconds(proxy.pid), time.perf_counter()
            for _ in range(options.requests):
                status, answer = client.ask("/v1/completions", QUESTION)
                if status != 200:
                    raise SystemExit(f"answered {status}: {answer}")
            cost = cpu_seconds(proxy.pid) - busy - idle * (time.perf_counter() - start)
            client.close()
            cells = [look(proxy, "/metrics"), look(proxy, "/status"), f"{kib_of_a_second(proxy):.0f}"]
            engines.write(count // 2)
            cells.append(reload(proxy, count - count // 2))
            engines.write()
            cells.append(reload(proxy, count))
            row(count, f"{began:.1f}", f"{resident(proxy.pid) / 2**20:.0f}", f"{100 * idle:.1f}",
                f"{1e6 * cost / options.requests:.0f}", *cells)
        finally:
            proxy.stop()


def run(options):
    build = options.build
    build.need(build.microbench, hint=" (it needs libbenchmark-dev)")
    build.need(build.proxy)
    if max(options.engines) > MOST:
        raise SystemExit(f"--engines: one batchproxy has {MOST} backends at most")
    raise_descriptors(4 * MOST)
    show_turns(build)
    header("engines", "all ready after, s", "MiB", "while nobody asks, % of a core", "a request, µs of processor time",
           "/metrics: KiB, ms of it", "/status: KiB, ms of it", "/ui: KiB a second", "half taken away: ms, s",
           "and given back: ms, s")
    for count in options.engines:
        with pairs(build, vllm_args={"tensor_parallel_size": 1},
                   launcher={"servers": count, "gpus": count, "sim_time_scale": 0.05}) as launched:
            wait_until(lambda: ready(launched) == count, f"{count} engines", PATIENCE)
            measure(build, [one["url"] for one in launched.status()["backends"]], options)
