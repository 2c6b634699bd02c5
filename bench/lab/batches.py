"""What a batch costs other clients, and what they cost it.

Clients ask at random moments, each request for itself, before simulated engines: alone, beside a batch that fills the
engines, and the batch alone. Beside it they ask for a while before it counts, until the engines that are kept for them
are light: `the first` is the slowest request of that while. A batch should leave their p99 below 1.2 times what it is
without, and keep 0.9 of its speed, which takes several engines, as tokens take longer the fuller one is. `ask at` is how
many requests a second the clients send; the batch has more requests than the time allows."""
import contextlib
import json
import os
import random
import tempfile
import threading
import time

from tests.support.asking import MODEL, call

from .client import Client
from .engines import pairs
from .figures import header, row
from .options import positive

WARM_UP = 5  # seconds until the engines are as full as they will be
WORDS = "time year people way day man thing woman life child world school state family student".split()


def add_options(parser):
    parser.add_argument("seconds", nargs="?", type=positive(float), default=60, help="of each of the three (60)")
    parser.add_argument("--rates", type=positive(float), nargs="+", default=[2, 10], help="requests a second (2 10)")
    parser.add_argument("--requests", type=positive(int), default=50_000, help="of the batch (50000)")
    parser.add_argument("--max-num-seqs", type=positive(int), default=64, help="of each engine (64)")
    parser.add_argument("--tokens", type=positive(int), default=64, help="of each answer (64)")
    parser.add_argument("--room-share", type=positive(float), default=0.18, help="batchproxy.jobs.room_share (0.18)")
    parser.add_argument("--time-scale", type=positive(float), default=1, help="of the engines (1)")
    parser.add_argument("--servers", type=positive(int), default=1, help="engines: pairs of GPUs, single ones beyond four (1)")


def prompt(chance):
    return " ".join(chance.choice(WORDS) for _ in range(150))


def body(chance, options):
    return {"model": MODEL, "prompt": prompt(chance), "max_tokens": options.tokens, "ignore_eos": True}


def upload(url, options):
    chance = random.Random(1)
    lines = (json.dumps({"custom_id": f"q{i}", "method": "POST", "url": "/v1/completions",
                         "body": body(chance, options)}) for i in range(options.requests))
    form = ('--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\nContent-Disposition: form-data; '
            'name="file"; filename="in.jsonl"\r\n\r\n' + "\n".join(lines) + "\r\n--x--\r\n")
    _, text = call(url, "/v1/files", form.encode(), {"Content-Type": "multipart/form-data; boundary=x"})
    return json.loads(text)["id"]


@contextlib.contextmanager
def running_batch(url, options):
    """A batch that has filled the engines: a function that says how many of its requests are answered."""
    asked = {"input_file_id": upload(url, options), "endpoint": "/v1/completions", "completion_window": "24h"}
    batch = json.loads(call(url, "/v1/batches", asked)[1])["id"]

    def answered():
        now = json.loads(call(url, f"/v1/batches/{batch}")[1])
        assert now["status"] in ("validating", "in_progress"), f"the batch is {now['status']}: give it more requests"
        return now["request_counts"]["completed"]
    while not answered():
        time.sleep(0.1)
    time.sleep(WARM_UP * options.time_scale)
    try:
        yield answered
    finally:
        call(url, f"/v1/batches/{batch}/cancel", b"", method="POST")


def ask_at(port, rate, options, seconds, seed=2):
    """The latencies of requests that are sent at random moments, `rate` a second on average; sorted."""
    chance, latencies, threads = random.Random(seed), [], []

    def ask(data):
        client = Client(port)
        begin = time.monotonic()
        status, _ = client.ask("/v1/completions", data)
        if status == 200:
            latencies.append(time.monotonic() - begin)
        client.close()
    begin = due = time.monotonic()
    while due < begin + seconds:
        due += chance.expovariate(rate)
        time.sleep(max(0, due - time.monotonic()))
        threads.append(threading.Thread(target=ask, args=[json.dumps(body(chance, options)).encode()]))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(latencies) == len(threads), "each request is answered"
    return sorted(latencies)


@contextlib.contextmanager
def proxy_with_engines(options):
    with tempfile.TemporaryDirectory() as folder:
        keys = {"jobs": {"directory": os.path.join(folder, "jobs"), "room_share": options.room_share}}
        gpus = 2 if options.servers <= 4 else 1  # of each engine: eight in all
        with pairs(options.build, vllm_args={"max_num_seqs": options.max_num_seqs, "tensor_parallel_size": gpus},
                   launcher={"servers": options.servers, "sim_time_scale": options.time_scale}, **keys) as proxy:
            yield proxy


def speed_of(answered, during):
    """What `during` returns, and the requests that the batch had answered a second meanwhile."""
    count, begin = answered(), time.monotonic()
    result = during()
    return result, (answered() - count) / (time.monotonic() - begin)


def at(latencies, share):
    return 1e3 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]


def run(options):
    options.build.need(options.build.proxy)
    with proxy_with_engines(options) as proxy, running_batch(proxy.url, options) as answered:
        _, alone = speed_of(answered, lambda: time.sleep(options.seconds))
    header("ask at", "p50 ms, alone", "beside", "p99 ms, alone", "beside", "beside / alone", "the first",
           "batch alone, q/s", "beside", "beside / alone")
    for rate in options.rates:
        with proxy_with_engines(options) as proxy:
            quiet = ask_at(proxy.port, rate, options, options.seconds)
        with proxy_with_engines(options) as proxy, running_batch(proxy.url, options) as answered:
            first = ask_at(proxy.port, rate, options, WARM_UP * options.time_scale, seed=3)
            busy, beside = speed_of(answered, lambda: ask_at(proxy.port, rate, options, options.seconds))
        row(f"{rate:g}/s", f"{at(quiet, .5):.0f}", f"{at(busy, .5):.0f}", f"{at(quiet, .99):.0f}",
            f"{at(busy, .99):.0f}", f"{at(busy, .99) / at(quiet, .99):.2f}", f"{at(first, 1):.0f}" if first else "",
            f"{alone:.1f}", f"{beside:.1f}", f"{beside / alone:.2f}")
