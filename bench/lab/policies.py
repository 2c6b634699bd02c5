"""The flush policies side by side; and what a lone request is made to wait.

All before four simulated A100 pairs, in real time. The figures of the lone request are medians over the proxy and a
direct call in turn, on kept connections."""
import http.client
import json
import statistics
import time

from tests.support.asking import MODEL

from .engines import pairs
from .figures import header, row
from .load import ask_questions

ROWS = [("one at a time", 1, 151, {}), ("fixed", 8, 302, {"flush": "fixed"}), ("fixed", 64, 1208, {"flush": "fixed"}),
        ("eager", 8, 302, {}), ("eager", 64, 1208, {}), ("batching off", 64, 1208, {"enable_batching": False})]
WARM_UP, COUNTED = 20, 200


def add_options(parser):
    pass  # the build says all


def ask_alone(urls):
    """Medians in milliseconds, as `urls` are named."""
    body = json.dumps({"model": MODEL, "prompt": "Which? (A) x (B) y\nAnswer:", "max_tokens": 1})
    connections = {name: http.client.HTTPConnection(url.removeprefix("http://")) for name, url in urls.items()}
    times = {name: [] for name in urls}
    for number in range(WARM_UP + COUNTED):
        for name, connection in connections.items():
            start = time.perf_counter()
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            if response.status != 200:
                raise SystemExit(f"answered {response.status}: {text}")
            if number >= WARM_UP:
                times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(taken) for name, taken in times.items()}


def run(options):
    options.build.need(options.build.proxy, options.build.load)
    header("policy", "workers", "answered", "questions/s", "p50 ms", "p99 ms")
    for label, workers, requests, settings in ROWS:
        with pairs(options.build, **settings) as proxy:
            result = ask_questions(options.build, proxy.url, workers, requests)
        row(label, workers, f"{result['answered']}/{result['asked']}", f"{result['per_second']:.1f}",
            f"{1e3 * result['p50_seconds']:.0f}", f"{1e3 * result['p99_seconds']:.0f}")
    with pairs(options.build) as proxy:
        alone = ask_alone({"proxy": proxy.url, "direct": proxy.engine})
    print(f"\nA lone request: direct {alone['direct']:.2f} ms, through the proxy {alone['proxy']:.2f} ms, "
          f"added {alone['proxy'] - alone['direct']:.2f} ms (medians of {COUNTED} each)")
