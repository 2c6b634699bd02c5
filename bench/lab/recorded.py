"""What it costs to record a job's requests (x-batchproxy-job).

Clients that wait for nothing but answers ask the same proxy, before an engine that costs nothing: a slice of requests
without the job's name, two with it, one without, and so on. Each request is another, so none is answered from the
record. Ratios are those of two neighbouring slices; the interval holds 95 % of the medians of as many drawn again."""
import json
import pathlib
import random
import statistics
import tempfile
import threading
import time

from tests.support.proxy import Proxy

from .client import Client
from .engines import stub_engine
from .figures import header, percentile, row
from .machine import cpu_seconds
from .options import positive

DRAWS = 2000


def add_options(parser):
    parser.add_argument("pairs", nargs="?", type=positive(int), default=20, help="of slices (20)")
    parser.add_argument("--requests", type=positive(int), default=2000, help="of each slice (2000)")
    parser.add_argument("--clients", type=positive(int), default=16, help="that ask at once (16)")


def body(number):
    text = f"question {number} " + 20 * "of a passage that all know "
    return json.dumps({"model": "stub", "prompt": text, "max_tokens": 1, "temperature": 0}).encode()


class Slices:
    """Requests before `proxy`, each another, a slice at a time."""

    def __init__(self, proxy, options):
        self._proxy, self._options, self._asked = proxy, options, 0
        self._clients = [Client(proxy.port) for _ in range(options.clients)]

    def _ask(self, client, numbers, fields, took):
        for number in numbers:
            begun = time.perf_counter()
            status, answer = client.ask("/v1/completions", body(number), fields)
            took.append(1e6 * (time.perf_counter() - begun))
            if status != 200:
                raise SystemExit(f"a request was answered with {status} {answer}")

    def run(self, fields):
        """CPU per request, and p50 and p99 of the time that one takes, in microseconds."""
        count, options = self._options.requests, self._options
        numbers = range(self._asked, self._asked + count)
        self._asked += count
        took = []
        threads = [threading.Thread(target=self._ask, args=(client, numbers[i::options.clients], fields, took))
                   for i, client in enumerate(self._clients)]
        before = cpu_seconds(self._proxy.pid)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(took) != count:
            raise SystemExit(f"{count - len(took)} requests have failed")
        return {"cpu": 1e6 * (cpu_seconds(self._proxy.pid) - before) / count, "p50": percentile(took, 50),
                "p99": percentile(took, 99)}


def interval(ratios):
    """Of the median, with 95 % of the chance."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    return medians[DRAWS * 25 // 1000], medians[DRAWS * 975 // 1000]


def run(options):
    options.build.need(options.build.proxy, options.build.stub_engine)
    plain, recorded = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        engine = stub_engine(options.build, folder)
        try:
            config = folder / "recorded.yaml"
            config.write_text(json.dumps({"batchproxy": {"jobs": {"directory": str(folder / "state")}, "backends": [
                {"url": f"http://127.0.0.1:{engine.port}"}]}}))
            proxy = Proxy(["--config", config], folder, program=options.build.proxy)
            try:
                proxy.ready(1)
                slices = Slices(proxy, options)
                kinds = ((plain, {}), (recorded, {"x-batchproxy-job": "lab"}))
                for each, fields in kinds:
                    slices.run(fields)  # to warm up
                for number in range(options.pairs):
                    for each, fields in kinds[:: 1 if number % 2 == 0 else -1]:
                        each.append(slices.run(fields))
                records = proxy.metrics()
                lost = records["batchproxy_requests_unrecorded_total"] + records["batchproxy_requests_replayed_total"]
                if lost:
                    raise SystemExit(f"{lost} requests were not recorded, or answered from the record")
            finally:
                proxy.stop()
        finally:
            engine.kill()
    header("", "plain, us", "recorded, us", "recorded / plain", "95 %")
    for key, what in (("cpu", "CPU per request"), ("p50", "time of a request, p50"), ("p99", "time of a request, p99")):
        ratios = [with_it[key] / without[key] for with_it, without in zip(recorded, plain)]
        low, high = interval(ratios)
        row(what, f"{statistics.median(one[key] for one in plain):.0f}",
            f"{statistics.median(one[key] for one in recorded):.0f}", f"{statistics.median(ratios):.2f}",
            f"{low:.2f}-{high:.2f}")
