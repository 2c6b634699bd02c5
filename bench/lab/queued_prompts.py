"""What a waiting prompt costs: memory; and how soon a full queue says so.

Memory is batchproxy's, beyond the bodies' own bytes. The engine is gone, so everything waits. Prompts wait alone, each
on a connection of its own that has been there before (`idle-connections` tells what that costs), and in lists of a
thousand. Needs a file descriptor per request (ulimit -Hn)."""
import json
import signal
import time

from tests.support.asking import MODEL
from tests.support.waiting import wait_until

from .client import connect
from .engines import PATIENCE, one_engine
from .figures import header, percentile, row
from .machine import raise_descriptors, resident
from .options import positive

QUEUE = 100000
LIST = 1000
REFUSALS = 2000
WORDS = "".join(f"word{i * i % 9973} " for i in range(10000))


def add_options(parser):
    parser.add_argument("requests", nargs="?", type=positive(int), default=15000, help="of one prompt (15000)")


def prompt_of(size, number):
    return (f"{number}: " + WORDS[number % 9973:])[:size]


def body_of(prompt):
    return json.dumps({"model": MODEL, "prompt": prompt, "max_tokens": 8, "temperature": 0}).encode()


def body_of_one(size, number):
    return body_of(prompt_of(size, number))


def body_of_list(size, number):
    return body_of([prompt_of(size, LIST * number + i) for i in range(LIST)])


def without_engine(build, clients):
    return one_engine(build, max_connections=clients + 150, hold_timeout=3600, idle_timeout=3600, max_queue=QUEUE,
                      request_timeout=3600, max_buffered_bytes=4 << 30, max_body_bytes=64 << 20)


def await_queue(proxy, prompts):
    wait_until(lambda: proxy.metrics()["batchproxy_prompts_queued"] == prompts, f"{prompts} waiting prompts", PATIENCE)


def weigh(build, shape, size, count, body, prompts_each):
    """`count` requests whose bodies are body(size, number), with prompts_each prompts each."""
    prompts = count * prompts_each
    with without_engine(build, count) as proxy:
        proxy.engine.stop(signal.SIGTERM)
        clients = connect(proxy.port, count)
        before = resident(proxy.pid)
        content = 0
        for number, client in enumerate(clients):
            text = body(size, number)
            content += len(text)
            client.send("/v1/completions", text)
        await_queue(proxy, prompts)
        after = resident(proxy.pid)
        row(shape, f"{size} B", prompts, *(f"{memory / 2**20:.0f}" for memory in (before, after, content)),
            f"{(after - before - content) / prompts:.0f}")
        for client in clients:
            client.close()


def refuse(build, requests):
    lists = (QUEUE - requests) // LIST
    alone = QUEUE - lists * LIST
    with without_engine(build, alone + lists) as proxy:
        proxy.engine.stop(signal.SIGTERM)
        clients = connect(proxy.port, alone + lists + 1)
        asking = clients.pop()
        for number, client in enumerate(clients):
            client.send("/v1/completions", body_of_list(300, number) if number < lists else body_of_one(300, number))
        await_queue(proxy, QUEUE)
        question, taken = body_of_one(300, QUEUE), []
        for _ in range(REFUSALS):
            start = time.perf_counter()
            status, answer = asking.ask("/v1/completions", question)
            taken.append(1e3 * (time.perf_counter() - start))
            if status != 503 or b"queue_full" not in answer:
                raise SystemExit(f"answered {status}: {answer}")
        print(f"\n503 queue_full with {QUEUE} prompts waiting ({alone} requests of one, {lists} of {LIST}): "
              f"p50 {percentile(taken, 50):.2f} ms, p99 {percentile(taken, 99):.2f} ms of {REFUSALS}", flush=True)
        for client in [*clients, asking]:
            client.close()


def run(options):
    options.build.need(options.build.proxy)
    raise_descriptors(options.requests + 200)
    header("request", "prompt", "prompts waiting", "MiB before", "MiB with them", "MiB of bodies", "bytes beyond, each")
    for size in (300, 6000):
        weigh(options.build, "one prompt", size, options.requests, body_of_one, 1)
        weigh(options.build, f"a list of {LIST}", size, QUEUE // LIST, body_of_list, LIST)
    refuse(options.build, options.requests)
