"""The table of faults, row by row: what the client sees, what the log says, what /metrics says.

Every test ends with the conservation law, read from /metrics: received = finished + queued + in flight, with
nothing queued and nothing in flight.

One file, long as it is, because it is one table: whoever adds a row, or looks for the test of one, finds all of them in
order, and the helpers below serve nothing else.

  row  fault                                   test
    1  backend killed in mid-batch             here
    2  backend killed in mid-stream            here
    3  backend hangs                           here
    4  garbage for an answer                   here; every kind of it in test_response_cases.py
    5  too few, too many, wrong choices        here
    6  choices out of order                    here
    7  500 for one prompt of a shared call     here; with 64 members in test_shared_calls.py
    8  400 for one prompt of a shared call     here; with 64 members in test_shared_calls.py
    9  query of death                          here (two tests); under load in tests/chaos
   10  answer drips                            here; to the client's deadline in test_response_cases.py
   11  kept connection that was dead           here; at every state of the answer in test_response_cases.py
   12  client leaves while queued              here
   13  client leaves while in flight           here
   14  disconnect storm                        here
   15  large bodies                            here
   16  idle connections, cap on connections    test_limits.py, test_row_16_*; memory in bench/idle_connections
   17  long queue                              here; order and fairness in tests/batcher
   18  out of descriptors                      test_limits.py, test_row_18_*
   19  log disk full                           here
   20  SIGTERM under load, and while all down  here; over many rounds in tests/chaos/drain.py
   21  SIGKILL of the proxy                    test_launching.py, tests/launcher
   22  reload, also with an invalid file       here; every invalid file in tests/configs
   23  port in use                             test_limits.py, test_row_23_*
   24  clock jump                              here
   25… 29  engines that die, and how           tests/launcher, test_launching.py
   30  one backend permanently bad             tests/chaos
   31  all down, then up                       here
   32  backend asks to wait                    here
   33  late answer of an abandoned attempt     here
   34  out of memory                           here; the byte budget in test_limits.py, test_row_34_*
   35  exception in a handler                  here: one that memory running out throws
   36  refused and unroutable addresses        here
"""
import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import conftest
import pytest
from conftest import DEADLINE, PROXY, ROOT, assert_never, call, wait_until
from scripted_backend import MODELS, ScriptedBackend, answer

sys.path.insert(0, str(ROOT / "tests"))
from chaos import client as chaos_client, harness  # noqa: E402
from chaos.fake_backend import text_of  # noqa: E402

# --- proxies and backends -----------------------------------------------------------------------


@pytest.fixture
def start_proxy(start_proxy):
    """As elsewhere, and held to its law by /metrics."""
    started = []

    def start(*args, **how):
        started.append(start_proxy(*args, **how))
        return started[-1]

    yield start
    for proxy in started:
        if proxy.process.poll() is None:
            assert_law(proxy)


def assert_law(proxy):
    def holds():
        now = harness.metrics(proxy)
        finished = sum(harness.labelled(now, "batchproxy_requests_finished_total").values())
        waiting = now["batchproxy_requests_queued"] + now["batchproxy_requests_inflight"]
        return waiting == 0 and now["batchproxy_requests_received_total"] == finished
    wait_until(holds, "received = finished, nothing queued or in flight")


@pytest.fixture
def serve(start_proxy, tmp_path):
    """serve(backends, ready=…, **keys): a proxy in front of them, once `ready` of them are (default: all)."""
    def make(backends, ready=None, batch_size=16, batch_timeout=0.5, **keys):
        write_keys(tmp_path / "c.yaml", backends, batch_size, batch_timeout, **keys)
        proxy = start_proxy("--config", tmp_path / "c.yaml")
        return proxy if ready == 0 else proxy.ready(ready or len(backends))

    return make


def write_keys(path, backends, batch_size=16, batch_timeout=0.5, **keys):
    entries = [{"url": backend.url, "max_num_seqs": getattr(backend, "slots", 256)} for backend in backends]
    settings = {"health_interval": 0.1, "io_threads": 2, "backends": entries, **keys}
    fresh = path.with_suffix(".new")  # replaced in one step: the proxy may read it at any moment
    fresh.write_text(json.dumps({"batch_size": batch_size, "batch_timeout": batch_timeout, "batchproxy": settings}))
    fresh.replace(path)


@pytest.fixture
def engines(tmp_path):
    """engines(n, up=True, latency=…, slots=…): programs that can be killed, and started again on their port."""
    made = []

    def make(count, up=True, **how):
        folder = tmp_path / f"engines-{len(made)}"
        folder.mkdir()
        fresh = [harness.Backend(index, folder, **how) for index in range(count)]
        made.extend(fresh)
        if up:
            for engine in fresh:
                engine.start()
            for engine in fresh:
                wait_until(engine.listening, f"an engine at {engine.url}")
        return fresh

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def scripted():
    made = []

    def make(script, **how):
        made.append(ScriptedBackend(script, **how))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@functools.cache
def is_sanitized():
    return any(mark in PROXY.read_bytes() for mark in (b"__asan_init", b"__tsan_init"))


def name_of(backend):
    return backend.url.removeprefix("http://")


def received(engines):
    """How often each answer's text was asked for."""
    return collections.Counter(text for engine in engines for _, what, _, rest in engine.events()
                               if what == "received" for text in rest.rsplit(" ", 1)[-1].split(","))


def reset(client):
    """The next close() of it sends a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def prompts_of(request):
    prompt = json.loads(request.partition(b"\r\n\r\n")[2])["prompt"]
    return prompt if isinstance(prompt, list) else [prompt]


def completion(prompts, indices=None):
    """What vLLM answers to a list; `indices` to be given instead of 0, 1, 2 …"""
    indices = range(len(prompts)) if indices is None else indices
    choices = [{"index": index, "text": f"<{prompts[index % len(prompts)]}>", "finish_reason": "stop"}
               for index in indices]
    usage = {"prompt_tokens": len(prompts), "completion_tokens": len(prompts), "total_tokens": 2 * len(prompts)}
    return answer(json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": choices,
                              "usage": usage}).encode())


# --- clients ------------------------------------------------------------------------------------


def request_of(prompt, **fields):
    body = json.dumps({"model": "m", "prompt": prompt, "max_tokens": 4, **fields}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)) + body


def ask(proxy, prompt, headers=None, **fields):
    response, text = call(proxy.url, "/v1/completions", {"model": "m", "prompt": prompt, "max_tokens": 4, **fields},
                          headers)
    return response, json.loads(text)


async def exchange(address, request):
    wire = await chaos_client.connect(address)
    try:
        return await asyncio.wait_for(wire.exchange(request), DEADLINE)
    finally:
        wire.close()


def ask_all(proxy, prompts, **fields):
    """All at once, each on a connection of its own: what each was answered."""
    async def gather():
        return await asyncio.gather(*[exchange(proxy.address, request_of(prompt, **fields)) for prompt in prompts])
    return asyncio.run(gather())


@contextlib.contextmanager
def asking(proxy, prompts, **fields):
    """ask_all() in the background; yields the future of the answers."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(ask_all, proxy, prompts, **fields)


@contextlib.contextmanager
def traffic(proxy, clients=8):
    """Clients that ask one thing after the other meanwhile; yields how their requests ended."""
    over, ended = threading.Event(), collections.Counter()

    async def client(number):
        wire, asked = await chaos_client.connect(proxy.address), 0
        while not over.is_set():
            asked += 1
            prompt = f"traffic {number} {asked}"
            try:
                response = await asyncio.wait_for(wire.exchange(request_of(prompt)), DEADLINE)
            except chaos_client.Lost as lost:
                ended[f"lost: {lost.how}"] += 1
                wire = await chaos_client.connect(proxy.address)
                continue
            ended["right" if is_right(response, prompt) else f"{response.status} {response.body}"] += 1
        wire.close()

    async def gather():
        await asyncio.gather(*[client(number) for number in range(clients)])

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, gather())
        try:
            yield ended
        finally:
            over.set()
            running.result(DEADLINE)


def is_right(response, prompt):
    """A fake engine's own answer to this prompt, and nothing behind it."""
    return (response.status == 200 and not response.cut and not response.extra
            and [choice["text"] for choice in json.loads(response.body)["choices"]] == [text_of(prompt)])


def assert_all_right(responses, prompts):
    wrong = [(prompt, response.status, response.body) for response, prompt in zip(responses, prompts, strict=True)
             if not is_right(response, prompt)]
    assert not wrong, (len(wrong), wrong[:3])


def connect(proxy):
    host, port = proxy.address.split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


# --- what the proxy says ------------------------------------------------------------------------


def figure(proxy, name):
    return harness.metrics(proxy)[name]


def finished(proxy, result):
    return figure(proxy, f'batchproxy_requests_finished_total{{result="{result}"}}')


def errors(proxy, code):
    return figure(proxy, f'batchproxy_errors_total{{code="{code}"}}')


def failures(proxy):
    """{(backend, reason): calls that failed so} of /metrics."""
    found = {}
    for name, value in harness.metrics(proxy).items():
        match = re.fullmatch(r'batchproxy_attempts_failed_total\{backend="(.*)",reason="(.*)"\}', name)
        if match and value:
            found[match[1], match[2]] = value
    return found


def failures_told(proxy):
    """The same as failures(), once the log has told as many."""
    def told():
        said = collections.Counter()
        for line in list(proxy.errors):
            match = re.search(r"warning (\S+): calls failed: (.*); what can be is sent again$", line)
            for part in match[2].split(", ") if match else []:
                count, reason = part.split(" ")
                said[match[1], reason] += int(count)
        found = failures(proxy)
        return (found, ) if said == found else None
    return wait_until(told, f"the log to tell {failures(proxy)}\n{proxy.output()}")[0]


def logged(proxy, pattern):
    """The first line that matches, once there is one."""
    def look():
        return [line for line in list(proxy.errors) if re.search(pattern, line)]
    return wait_until(look, f"{pattern!r} in the log\n{proxy.output()}")[0]


def assert_quiet(proxy):
    """Nothing went wrong as far as the proxy can tell."""
    assert failures(proxy) == {}
    troubles = [line for line in proxy.errors if re.search(r" (warning|error|critical) ", line)]
    assert not troubles, troubles


# --- 1 to 6: backends that die, hang or lie -----------------------------------------------------


@pytest.mark.parametrize("merge", ["off", "always"])
def test_row_01_backend_killed_in_mid_batch(serve, engines, merge):
    four = engines(4, latency=0.4)
    victim, *others = four
    proxy = serve(four, merge=merge)
    prompts = [f"{merge} {number}" for number in range(500)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: received([victim]).total() >= 10, "a batch to be under way")
        victim.kill()
        responses = asked.result()
    assert_all_right(responses, prompts)
    attempts = collections.Counter(response.headers["x-batchproxy-attempts"] for response in responses)
    assert set(attempts) == {"1", "2"}
    assert all(response.headers["x-batchproxy-backend"] != name_of(victim)
               for response in responses if response.headers["x-batchproxy-attempts"] == "2")
    assert max(received(others).values()) == 1, "asked for once each"
    told = failures_told(proxy)
    assert {backend for backend, _ in told} == {name_of(victim)} and told[name_of(victim), "reset"] >= 10
    assert sum(count for (_, reason), count in told.items() if reason in ("reset", "cut")) == attempts["2"]
    assert figure(proxy, "batchproxy_requests_retried_total") == sum(told.values())
    wait_until(lambda: finished(proxy, "ok") == 500, "all to be counted")
    logged(proxy, f"{name_of(victim)} .* is not ready: ")


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(text, done=False):
    data = b"data: %s\n\n" % (b"[DONE]" if done else json.dumps({"choices": [{"index": 0, "text": text}]}).encode())
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_row_02_backend_killed_in_mid_stream_before_anything_was_passed_on(serve, scripted):
    dying = scripted(lambda number, *_: [lambda: reset(dying.carriers[number - 1]), None])
    healthy = scripted(lambda *_: [STREAM_HEAD, event("a"), event("", done=True) + b"0\r\n\r\n"])
    proxy = serve([dying, healthy])
    attempts = set()
    while "2" not in attempts:
        response, text = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "p", "stream": True})
        assert response.status == 200 and text.count(b"[DONE]") == 1 and text.count(b'"text": "a"') == 1
        attempts.add(response.headers["x-batchproxy-attempts"])
    assert attempts <= {"1", "2"}
    assert failures_told(proxy) == {(name_of(dying), "reset"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1
    assert figure(proxy, "batchproxy_streams_aborted_total") == 0


def test_row_02_backend_killed_in_mid_stream_after_that(serve, scripted):
    seen = threading.Event()
    dying = scripted(lambda *_: [STREAM_HEAD, event("a"), lambda: seen.wait(DEADLINE),
                                 lambda: reset(dying.carriers[0]), None])
    proxy = serve([dying, scripted(lambda *_: None)])
    while not dying.requests:
        with connect(proxy) as client:
            client.sendall(request_of("p", stream=True))
            data = b""
            while more := client.recv(65536):
                data += more
                if b'"text": "a"' in data:
                    seen.set()
    response = chaos_client.parse(data, eof=True)
    assert response.status == 200 and response.cut, "no last chunk"
    assert response.headers["x-batchproxy-backend"] == name_of(dying)
    assert b"[DONE]" not in data
    last = response.body.rstrip().rsplit(b"\n\n", 1)[-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "backend_lost"
    assert len(dying.requests) == 1, "it is not asked again"
    assert failures_told(proxy)[name_of(dying), "cut"] == 1
    assert figure(proxy, "batchproxy_streams_aborted_total") == 1
    assert errors(proxy, "backend_lost") >= 1 and finished(proxy, "backend_error") >= 1


class Hanging:
    """Takes requests and answers none; notes which of their connections the proxy closes."""

    def __init__(self, scripted):
        self.closed = []
        self.backend = scripted(self.serve)
        self.url = self.backend.url

    def serve(self, number, request, carried):
        with contextlib.suppress(OSError):
            if self.backend.carriers[number - 1].recv(1) == b"":
                self.closed.append(number)


def test_row_03_backend_that_hangs_is_left_for_another(serve, scripted):
    hanging = Hanging(scripted)
    healthy = scripted(lambda *_: answer())
    proxy = serve([hanging, healthy], attempt_timeout=0.3)
    for _ in range(30):
        response, _ = ask(proxy, "p")
        assert response.status == 200 and response.headers["x-batchproxy-backend"] == name_of(healthy)
        assert response.headers["x-batchproxy-attempts"] in ("1", "2")
    wait_until(lambda: hanging.closed == [1, 2, 3], "its engine to be told by the end of the connection")
    assert len(hanging.backend.requests) == 3, "after three in half a second the breaker opens"
    assert failures_told(proxy) == {(name_of(hanging), "timeout"): 3}
    logged(proxy, f"{name_of(hanging)}: its calls keep failing")
    assert figure(proxy, f'batchproxy_backend_breaker_open{{backend="{name_of(hanging)}"}}') == 1
    assert figure(proxy, "batchproxy_requests_retried_total") == 3


def test_row_03_shared_call_that_hangs_is_given_up_in_time(serve, scripted):
    """An attempt's time is limited in company, too; afterwards each goes alone."""
    def hang_on_lists(number, request, carried):
        if len(prompts_of(request)) == 1:
            return completion(prompts_of(request))
        with contextlib.suppress(OSError):
            backend.carriers[number - 1].recv(1)

    backend = scripted(hang_on_lists)
    proxy = serve([backend], merge="always", flush="fixed", batch_size=4, batch_timeout=30, attempt_timeout=0.3)
    begin = time.monotonic()
    for response in ask_all(proxy, [f"p{number}" for number in range(4)]):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"
    assert 0.3 <= time.monotonic() - begin < DEADLINE / 2
    assert [len(prompts_of(request)) for request in backend.requests] == [4, 1, 1, 1, 1]
    assert failures(proxy) == {(name_of(backend), "timeout"): 4}


def test_row_03_members_do_not_wait_for_a_hung_engine_in_turn(serve, scripted):
    """A call that is split up: once one of its parts has hung, the others are not sent after it."""
    def hang_once(number, request, carried):
        prompts = prompts_of(request)
        if len(backend.requests) == 2:
            with contextlib.suppress(OSError):
                backend.carriers[number - 1].recv(1)
            return None
        return completion(prompts, [0] if len(prompts) > 1 else None)

    backend = scripted(hang_once)
    proxy = serve([backend], merge="always", flush="fixed", batch_size=4, batch_timeout=30, attempt_timeout=0.3)
    for response in ask_all(proxy, [f"p{number}" for number in range(4)]):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"
    assert [len(prompts_of(request)) for request in backend.requests] == [4, 1, 1, 1, 1, 1]
    assert failures(proxy) == {(name_of(backend), "timeout"): 4}


def test_row_03_backend_that_hangs_alone_costs_a_504(serve, scripted):
    hanging = Hanging(scripted)
    proxy = serve([hanging], request_timeout=0.5)
    begin = time.monotonic()
    response, body = ask(proxy, "p")
    assert response.status == 504 and body["error"]["code"] == "backend_timeout"
    assert 0.5 <= time.monotonic() - begin < DEADLINE / 2
    wait_until(lambda: hanging.closed == [1], "its connection to be closed")
    assert failures_told(proxy) == {(name_of(hanging), "timeout"): 1}
    assert finished(proxy, "timeout") == errors(proxy, "backend_timeout") == 1


@pytest.mark.parametrize("garbage", [
    b"\x00\x01\x02 this is no HTTP \xff\r\n\r\n",
    answer(b"<html>It works!</html>").replace(b"application/json", b"text/html"),
    answer(b'{"choices":[{"te'),
], ids=["no HTTP", "wrong type", "no JSON"])
def test_row_04_garbage(serve, scripted, garbage):
    broken, healthy = scripted(lambda *_: garbage), scripted(lambda *_: answer())
    proxy = serve([broken, healthy])
    while not broken.requests:
        response, body = ask(proxy, "p")
        assert response.status == 200 and body == {"choices": [{"text": "ok"}]}
    assert response.headers["x-batchproxy-attempts"] == "2"
    assert failures_told(proxy) == {(name_of(broken), "garbage"): 1}

    alone = scripted(lambda *_: garbage)
    proxy = serve([alone])
    response, body = ask(proxy, "p")
    assert response.status == 502 and body["error"]["code"] == "bad_backend_response"
    assert response.headers["x-batchproxy-code"] == "bad_backend_response"
    assert "It works" not in str(body) and set(body) == {"error"}
    assert len(alone.requests) == 2
    assert failures_told(proxy) == {(name_of(alone), "garbage"): 2}
    wait_until(lambda: finished(proxy, "backend_error") == 1, "all to be counted")


WRONG_INDICES = {"one missing": [0, 1, 2], "one too many": [0, 1, 2, 3, 4], "twice the same": [0, 1, 1, 3],
                 "out of range": [0, 1, 2, 7], "none": []}


@pytest.mark.parametrize("indices", WRONG_INDICES.values(), ids=WRONG_INDICES)
def test_row_05_wrong_choices_in_a_shared_call(serve, scripted, indices):
    """Never guess: each member is sent alone."""
    liar = scripted(lambda number, request, carried: completion(
        prompts_of(request), indices if len(prompts_of(request)) > 1 else None))
    proxy = serve([liar], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    prompts = [f"p{number}" for number in range(4)]
    for prompt, response in zip(prompts, ask_all(proxy, prompts)):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
        assert [choice["text"] for choice in json.loads(response.body)["choices"]] == [f"<{prompt}>"]
    assert sorted(len(prompts_of(request)) for request in liar.requests) == [1, 1, 1, 1, 4]
    assert figure(proxy, "batchproxy_batch_mismatch_total") == 1
    logged(proxy, f"a list answer of {name_of(liar)} could not be taken apart; its members are sent alone")
    assert failures(proxy) == {}
    wait_until(lambda: finished(proxy, "ok") == 4, "all to be counted")


def test_row_05_wrong_choices_in_a_clients_list(serve, scripted):
    lies = []
    liar = scripted(lambda number, request, carried: completion(
        prompts_of(request), lies.pop() if lies and len(prompts_of(request)) == 2 else None))
    proxy = serve([liar], batch_size=2)
    lies[:] = [[0]]
    response, body = ask(proxy, ["a", "b", "c", "d"])
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [
        (index, f"<{letter}>") for index, letter in enumerate("abcd")]
    assert failures_told(proxy) == {(name_of(liar), "choice_count"): 1}
    lies[:] = [[0]] * 4
    response, body = ask(proxy, ["a", "b", "c", "d"])
    assert response.status == 502 and body["error"]["code"] == "choice_count_mismatch"
    assert set(body) == {"error"}
    assert failures_told(proxy)[name_of(liar), "choice_count"] >= 3
    assert finished(proxy, "backend_error") == errors(proxy, "choice_count_mismatch") == 1


def test_row_06_choices_out_of_order(serve, scripted):
    """The index says whose each is."""
    shuffled = scripted(lambda number, request, carried: completion(
        prompts_of(request), list(range(len(prompts_of(request))))[::-1]))
    proxy = serve([shuffled], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    prompts = [f"p{number}" for number in range(4)]
    for prompt, response in zip(prompts, ask_all(proxy, prompts)):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
        assert [choice["text"] for choice in json.loads(response.body)["choices"]] == [f"<{prompt}>"]
    response, body = ask(proxy, [f"q{number}" for number in range(8)])  # in two calls
    assert response.status == 200
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [
        (index, f"<q{index}>") for index in range(8)]
    assert figure(proxy, "batchproxy_batch_mismatch_total") == 0
    assert_quiet(proxy)


# --- 7 to 9: prompts that hurt others -----------------------------------------------------------


@pytest.mark.parametrize("row, status", [("07", 500), ("08", 400)])
def test_row_07_08_refusal_of_a_shared_call(serve, engines, row, status):
    [engine] = engines(1)
    proxy = serve([engine], merge="always", flush="fixed", batch_size=16, batch_timeout=30)
    prompts = [f"p{number}" for number in range(15)] + [f"the bad one @{status}"]
    *good, bad = ask_all(proxy, prompts)
    assert_all_right(good, prompts[:15])
    assert bad.status == status and bad.headers["x-batchproxy-attempts"] == "1" and bad.code is None
    alone = call(engine.url, "/v1/completions", {"model": "m", "prompt": prompts[-1]})
    assert bad.body == alone[1], "byte for byte the engine's own"
    assert figure(proxy, "batchproxy_batch_splits_total") == 4  # of 16, 8, 4 and 2
    assert sum(what == "received" for _, what, _, _ in engine.events()) == 1 + 4 * 2 + 1
    if status == 400:
        assert_quiet(proxy)
        wait_until(lambda: finished(proxy, "client_error") == 1, "all to be counted")
    else:
        assert failures_told(proxy) == {(name_of(engine), "status"): 1}
        wait_until(lambda: finished(proxy, "backend_error") == 1, "all to be counted")
    assert figure(proxy, f'batchproxy_backend_breaker_open{{backend="{name_of(engine)}"}}') == 0
    assert figure(proxy, "batchproxy_requests_retried_total") == 0


class Supervisor:
    """Restarts engines that have ended, half a second later; knows how many were up at the worst time."""

    def __init__(self, engines):
        self.engines, self.fewest, self.over = engines, len(engines), threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        due = {}
        while not self.over.wait(0.02):
            down = [engine for engine in self.engines if not engine.running()]
            self.fewest = min(self.fewest, len(self.engines) - len(down))
            for engine in down:
                if time.monotonic() > due.setdefault(engine, time.monotonic() + 0.5):
                    del due[engine]
                    engine.start()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("merge", ["off", "always"])
def test_row_09_query_of_death(serve, engines, merge):
    four = engines(4, latency=0.1)
    proxy = serve(four, merge=merge)
    mates = [f"mate {number}" for number in range(60)]
    deadly = "the end @crash"
    with Supervisor(four) as supervisor:
        *good, bad = ask_all(proxy, [*mates, deadly])
        assert_all_right(good, mates)
        assert bad.status == 502 and bad.code == "poison_prompt" and bad.headers["x-should-retry"] == "false"
        deaths = sum(what == "failed" and rest == "crash" for engine in four for _, what, _, rest in engine.events())
        assert deaths == 3 and supervisor.fewest >= 1
        [again] = ask_all(proxy, [deadly])
        assert again.status == 422 and again.code == "known_poison" and again.headers["x-should-retry"] == "false"
        assert received(four)[text_of(deadly)] == 3
        assert_all_right(ask_all(proxy, mates), mates)
    logged(proxy, "1 requests brought down three engines each and are not sent again")
    assert figure(proxy, "batchproxy_poison_prompts_total") == 1
    assert errors(proxy, "poison_prompt") == errors(proxy, "known_poison") == 1
    assert {reason for _, reason in failures_told(proxy)} <= {"reset", "cut", "refused"}


# --- 10, 11: connections that drip or are dead --------------------------------------------------


def test_row_10_answer_that_drips(serve, scripted):
    over = threading.Event()

    def drip(*_):
        whole = answer(b'{"choices":[{"text":"slow"}]}' + b" " * 1000)
        return [step for byte in whole for step in (bytes([byte]), lambda: over.wait(0.01))]

    dripping, healthy = scripted(drip), scripted(lambda *_: answer())
    proxy = serve([dripping, healthy], attempt_timeout=0.3)
    while not dripping.requests:
        response, body = ask(proxy, "p")
        assert response.status == 200 and body == {"choices": [{"text": "ok"}]}
    over.set()
    assert response.headers["x-batchproxy-attempts"] == "2"
    assert failures_told(proxy) == {(name_of(dripping), "timeout"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_row_11_kept_connection_closed_under_a_request(serve, scripted, how):
    def close(number, request, carried):
        if carried == 1:
            return answer()
        if how == "RST":
            reset(racy.carriers[number - 1])
        return None

    racy = scripted(close)
    proxy = serve([racy], io_threads=1)
    for _ in range(6):
        response, _ = ask(proxy, "p")
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
    assert figure(proxy, "batchproxy_stale_connections_total") == 5
    assert len(racy.requests) == 11
    assert figure(proxy, "batchproxy_requests_retried_total") == 0
    assert_quiet(proxy)


# --- 12 to 14: clients that leave ---------------------------------------------------------------


def test_row_12_clients_leave_while_queued(serve, engines):
    [engine] = engines(1)
    proxy = serve([engine])
    engine.kill()
    logged(proxy, r"no backend is ready; requests wait for one for up to 110 s \(hold_timeout\)")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy)) for _ in range(1000)]
        for number, client in enumerate(clients):
            client.sendall(request_of(f"left {number}"))
        wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 1000, "all to be queued")
        for client in clients[::2]:
            reset(client)
    wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 0, "all to be dropped")
    wait_until(lambda: finished(proxy, "client_gone") == 1000, "them to be counted")
    assert figure(proxy, "batchproxy_requests_received_total") == 1000
    assert figure(proxy, "batchproxy_prompts_queued") == 0
    engine.start()
    assert_all_right(ask_all(proxy, ["stayed"]), ["stayed"])
    assert received([engine]) == {text_of("stayed"): 1}
    logged(proxy, "a backend is ready again; [01] requests have waited for it")
    assert failures(proxy) == {}


def test_row_13_client_leaves_while_in_flight_alone(serve, scripted):
    hanging = Hanging(scripted)
    proxy = serve([hanging])
    for stream in (False, True):
        with connect(proxy) as client:
            client.sendall(request_of("p", stream=stream))
            wait_until(lambda: len(hanging.backend.requests) == 1 + stream, "it to be under way")
            assert len(hanging.closed) == stream
        wait_until(lambda: len(hanging.closed) == 1 + stream, "its engine to be told")
    wait_until(lambda: finished(proxy, "client_gone") == 2, "them to be counted")
    assert figure(proxy, "batchproxy_requests_retried_total") == 0
    assert_quiet(proxy)


def test_row_13_clients_leave_a_shared_call(serve, scripted):
    """The call goes on until the last of them has left."""
    hanging = Hanging(scripted)
    proxy = serve([hanging], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    clients = [connect(proxy) for _ in range(4)]
    for number, client in enumerate(clients):
        client.sendall(request_of(f"p{number}"))
    [request] = wait_until(lambda: hanging.backend.requests, "the call to leave")
    assert len(prompts_of(request)) == 4
    for client in clients[:3]:
        client.close()
    # Who has left is looked for four times a second.
    assert_never(lambda: hanging.closed, 0.8, "given up although one of them still waits")
    clients[3].close()
    wait_until(lambda: hanging.closed == [1], "the call to be given up")
    wait_until(lambda: finished(proxy, "client_gone") == 4, "all to be counted")
    assert len(hanging.backend.requests) == 1
    assert_quiet(proxy)


def test_row_14_disconnect_storm(serve, engines):
    [engine] = engines(1, latency=1.0, slots=4096)
    proxy = serve([engine], merge="off")
    pid = proxy.process.pid
    files, memory = harness.open_files(pid), harness.resident_kib(pid)

    async def one(prompt, leaving, times):
        wire = await chaos_client.connect(proxy.address)
        try:
            begin = time.monotonic()
            asked = asyncio.create_task(wire.exchange(request_of(prompt)))
            if leaving is not None:
                await leaving.wait()
                asked.cancel()
                return None
            response = await asked
            times.append(time.monotonic() - begin)
            return response
        finally:
            wire.close(reset=leaving is not None)

    async def storm(name, leavers):
        prompts, times, leave = [f"{name} {number}" for number in range(1000)], [], asyncio.Event()
        gone = [asyncio.create_task(one(f"{name} gone {number}", leave, times)) for number in range(leavers)]
        staying = [asyncio.create_task(one(prompt, None, times)) for prompt in prompts]
        await asyncio.to_thread(wait_until, lambda: figure(proxy, "batchproxy_requests_inflight") >= leavers,
                                "all that will leave to be under way")
        leave.set()
        assert_all_right(await asyncio.wait_for(asyncio.gather(*staying), DEADLINE), prompts)
        await asyncio.gather(*gone)
        return sorted(times)[int(len(times) * 0.99)]

    calm = asyncio.run(storm("calm", 0))
    worst = asyncio.run(storm("first", 1000))
    assert worst <= 2 * calm
    wait_until(lambda: finished(proxy, "client_gone") == 1000, "them to be counted")
    wait_until(lambda: finished(proxy, "ok") == 2000, "all to be counted")
    wait_until(lambda: abs(harness.open_files(pid) - files) <= 2, "the descriptors to be given back")
    assert figure(proxy, "batchproxy_buffered_bytes") == 0
    assert harness.resident_kib(pid) - memory <= 2000 * 64 or is_sanitized()  # what the allocator keeps of the peak
    assert_quiet(proxy)


# --- 15, 17: much at once -----------------------------------------------------------------------

MIB = 1 << 20


def body_of(size):
    return b'{"model":"m","prompt":"' + b"x" * (size - 25) + b'"}'


def peak_kib(proxy):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{proxy.process.pid}/status").read_text())[1])


def test_row_15_large_bodies(serve, scripted):
    backend = scripted(lambda *_: answer())
    proxy = serve([backend], max_body_bytes=8 * MIB, io_threads=1)
    before = peak_kib(proxy)
    for size in (1 * MIB, 2 * MIB, 8 * MIB):
        response, _ = call(proxy.url, "/v1/completions", body_of(size))
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
        assert len(backend.requests[-1].partition(b"\r\n\r\n")[2]) == size
    assert peak_kib(proxy) - before <= 2.2 * 8 * 1024 + (0 if not is_sanitized() else 64 * 1024)

    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    declared = b"Content-Length: %d\r\n\r\n" % (8 * MIB + 1)  # and not a byte of it
    crossing = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (9 * MIB) + body_of(8 * MIB) + b" "
    for rest in (declared, crossing):
        with connect(proxy) as client:
            client.sendall(head + rest)
            data = b""
            while more := client.recv(65536):
                data += more
        response = chaos_client.parse(data, eof=True)
        assert response.status == 413 and response.code == "body_too_large" and not response.cut
        assert response.headers["x-should-retry"] == "false"
        assert json.loads(response.body)["error"]["code"] == "body_too_large"
    assert errors(proxy, "body_too_large") == 2 and len(backend.requests) == 3
    assert figure(proxy, "batchproxy_requests_received_total") == 3
    assert_quiet(proxy)


def test_row_17_queue_of_a_hundred_thousand(serve, engines):
    [engine] = engines(1, up=False)
    proxy = serve([engine], ready=0, max_queue=100_000)
    before = harness.resident_kib(proxy.process.pid)
    bodies = [request_of([f"{client} {number}" for number in range(1000)]) for client in range(100)]
    with contextlib.ExitStack() as stack:
        for body in bodies:
            stack.enter_context(connect(proxy)).sendall(body)
        wait_until(lambda: figure(proxy, "batchproxy_prompts_queued") == 100_000, "the queue to be full")
        assert figure(proxy, "batchproxy_requests_queued") == 100
        grown = (harness.resident_kib(proxy.process.pid) - before) * 1024
        assert grown <= sum(map(len, bodies)) + 100_000 * 2048 or is_sanitized()
        took = []
        for _ in range(20):
            begin = time.monotonic()
            response, body = ask(proxy, "one more")
            took.append(time.monotonic() - begin)
            assert response.status == 503 and body["error"]["code"] == "queue_full"
            assert int(response.headers["retry-after"]) > 0 and response.headers["x-should-retry"] == "true"
        assert min(took) < 0.05
    wait_until(lambda: figure(proxy, "batchproxy_prompts_queued") == 0, "the queue to be empty")
    assert errors(proxy, "queue_full") == finished(proxy, "shed") == 20
    wait_until(lambda: finished(proxy, "client_gone") == 100, "their leaving to be counted")
    assert failures(proxy) == {}
    engine.start()
    proxy.ready(1)
    assert_all_right(ask_all(proxy, ["after"]), ["after"])


# --- 34, 35: errors of our own ------------------------------------------------------------------


def virtual_bytes(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def test_row_34_35_out_of_memory_costs_the_request_at_hand(start_proxy, scripted, tmp_path):
    """What is thrown while a request is worked on ends that request only, with a 500."""
    if is_sanitized():
        pytest.skip("sanitizers need the address space")
    backend = scripted(lambda *_: answer())
    write_keys(tmp_path / "c.yaml", [backend], io_threads=1)
    # Every block of some size comes from the kernel, and goes back there.
    env = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    proxy = start_proxy("--config", tmp_path / "c.yaml", env=env).ready(1)
    pid, outcomes = proxy.process.pid, collections.Counter()
    unlimited = resource.prlimit(pid, resource.RLIMIT_AS)
    size = 2 * MIB
    for spare in range(MIB, 24 * MIB, MIB // 2):
        resource.prlimit(pid, resource.RLIMIT_AS, (virtual_bytes(pid) + spare, unlimited[1]))
        try:
            response, text = call(proxy.url, "/v1/completions", body_of(size))
            outcomes[response.status, response.headers["x-batchproxy-code"]] += 1
        except (OSError, http.client.HTTPException) as error:
            outcomes[type(error).__name__] += 1
        assert proxy.process.poll() is None, proxy.output()
        assert call(proxy.url, "/v1/completions", {"model": "m", "prompt": "small"})[0].status == 200
    resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
    assert call(proxy.url, "/v1/completions", body_of(size))[0].status == 200
    assert outcomes[500, "internal_error"] >= 1 and outcomes[200, None] >= 1
    # A body that there is no room for has no answer: its connection is closed.
    assert set(outcomes) <= {(200, None), (500, "internal_error"), "RemoteDisconnected", "ConnectionResetError",
                             "BrokenPipeError"}
    assert finished(proxy, "backend_error") == errors(proxy, "internal_error") == outcomes[500, "internal_error"]
    assert sum("internal error in request" in line for line in proxy.errors) == outcomes[500, "internal_error"]
    assert failures(proxy) == {}


# --- 19, 20, 22, 24: the process and its surroundings -------------------------------------------


def log_to(monkeypatch, tmp_path, file):
    """Proxies that are started from now on have their standard error there."""
    wrapped = tmp_path / "wrapped"
    wrapped.write_text(f'#!/bin/sh\nexec {PROXY} "$@" 2>>{file}\n')
    wrapped.chmod(0o755)
    monkeypatch.setattr(conftest, "PROXY", wrapped)


def assert_serves_while_it_cannot_log(serve, scripted):
    """With something to be told all the while."""
    # No connection is kept, so that one that dies is no stale one.
    flaky = scripted(lambda number, *_: None if number % 3 == 0 else answer(extra=b"connection: close\r\n"))
    proxy = serve([flaky], log_level="debug", batch_timeout=0)
    begin, attempts = time.monotonic(), collections.Counter()
    while attempts["2"] < 10 or time.monotonic() < begin + 2.5:  # failures are told once a second
        response, _ = ask(proxy, "p")
        assert response.status == 200
        attempts[response.headers["x-batchproxy-attempts"]] += 1
        call(proxy.admin, "/admin/reload", b"")  # each is told, too
    assert figure(proxy, "batchproxy_requests_retried_total") == attempts["2"]
    assert failures(proxy) == {(name_of(flaky), "reset"): attempts["2"]}
    assert not [line for line in proxy.errors if "calls failed" in line], "there was no place for it"
    wait_until(lambda: finished(proxy, "ok") == attempts.total(), "all to be counted")


def test_row_19_log_disk_full(serve, scripted, monkeypatch, tmp_path):
    log_to(monkeypatch, tmp_path, "/dev/full")
    assert_serves_while_it_cannot_log(serve, scripted)


def test_row_19_log_on_a_file_system_that_is_full(serve, scripted, monkeypatch, tmp_path):
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tiny], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a file system")
    try:
        with contextlib.suppress(OSError), open(tiny / "filler", "wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        log_to(monkeypatch, tmp_path, tiny / "log")
        assert_serves_while_it_cannot_log(serve, scripted)
    finally:
        subprocess.run(["umount", "--lazy", tiny], check=True)


def test_row_20_sigterm_under_load(serve, engines):
    two = engines(2, latency=0.5)
    proxy = serve(two, drain_timeout=DEADLINE)
    prompts = [f"p{number}" for number in range(300)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: proxy.status()["requests"]["received"] == 300, "all to be in")
        proxy.process.send_signal(signal.SIGTERM)
        under_way = int(proxy.wait_for_line(r"stopping: (\d+) requests under way")[0][1])
        assert figure(proxy, "batchproxy_requests_received_total") == 300
        assert call(proxy.admin, "/readyz")[0].status == 503
        responses = asked.result()
    assert_all_right(responses, prompts)
    assert {response.headers["x-batchproxy-attempts"] for response in responses} == {"1"}
    assert 0 < under_way <= 300
    assert sum(response.headers.get("connection") == "close" for response in responses) >= 1
    assert proxy.wait() == 0
    assert "stopped: 300 requests received, 300 answered with success, 0 with an error; 0 clients left or were " \
           "cut off" in proxy.lines[-1]


def test_row_20_sigterm_while_all_backends_are_down(serve, engines):
    [engine] = engines(1)
    proxy = serve([engine], drain_timeout=0.5)
    engine.kill()
    logged(proxy, "no backend is ready")
    prompts = [f"p{number}" for number in range(50)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 50, "all to be held")
        begin = time.monotonic()
        assert proxy.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begin < 0.5 + 5
        responses = asked.result()
    assert {(response.status, response.code) for response in responses} == {(503, "shutting_down")}
    assert {response.headers["x-should-retry"] for response in responses} == {"true"}
    assert "stopped: 50 requests received, 0 answered with success, 50 with an error; 0 clients left or were " \
           "cut off" in proxy.lines[-1]


def errors_of(path):
    """What its expected output says, but for listen and admin, which the tests' flags stand in for."""
    lines = re.findall(r"\.yaml(:\d+:\d+: error: .*)", path.with_suffix(".expected").read_text())
    return [line for line in lines if not re.search(r"\b(listen|admin)\b", line)]


BROKEN = [path for path in sorted((ROOT / "tests" / "configs" / "broken").glob("*.yaml")) if errors_of(path)]


def test_row_22_reload_with_invalid_files(serve, engines, tmp_path):
    two = engines(2)
    proxy = serve(two)
    config = tmp_path / "c.yaml"
    good = config.read_bytes()
    assert len(BROKEN) >= 30
    with traffic(proxy) as ended:
        for path in BROKEN:
            config.write_bytes(path.read_bytes())
            response, text = call(proxy.admin, "/admin/reload", b"")
            assert response.status == 400, path.name
            assert any("c.yaml" + line in text.decode() for line in errors_of(path)), (path.name, text)
            before = ended["right"]
            wait_until(lambda: ended["right"] > before or set(ended) != {"right"}, "traffic to go on")
        assert figure(proxy, "batchproxy_config_last_reload_success") == 0
        refused = len(BROKEN)
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: sum("the configuration was not reloaded; the one in force stays" in line
                               for line in list(proxy.errors)) == refused + 1, "the signal to be heard")
        generation = figure(proxy, "batchproxy_config_generation")
        assert figure(proxy, "batchproxy_config_last_reload_success") == 0
        config.write_bytes(good)
        assert call(proxy.admin, "/admin/reload", b"")[0].status == 200
        assert figure(proxy, "batchproxy_config_last_reload_success") == 1
        assert figure(proxy, "batchproxy_config_generation") == generation + 1
    assert generation in (0, 1) and set(ended) == {"right"}, ended
    assert failures(proxy) == {}
    logged(proxy, r"error .*c\.yaml:\d+:\d+: error: ")


def test_row_22_reload_adds_and_removes_backends_under_load(serve, engines, tmp_path):
    three = engines(3)
    proxy = serve(three[:2])
    generation = figure(proxy, "batchproxy_config_generation")

    def names():
        return [backend["name"] for backend in proxy.status()["backends"] if backend["state"] == "ready"]

    with traffic(proxy, 32) as ended:
        for number, wanted in enumerate([three[1:], three[:1], three, three[2:], three[:2]]):
            write_keys(tmp_path / "c.yaml", wanted)
            if number % 2:
                proxy.process.send_signal(signal.SIGHUP)
                wait_until(lambda: figure(proxy, "batchproxy_config_generation") == generation + number + 1, "it")
            else:
                response, text = call(proxy.admin, "/admin/reload", b"")
                assert response.status == 200 and b" is new" in text
            wait_until(lambda: sorted(names()) == sorted(map(name_of, wanted)), "the new ones to be ready")
            before = ended["right"]
            wait_until(lambda: ended["right"] > before + 50, "traffic")
    assert set(ended) == {"right"}, ended
    assert figure(proxy, "batchproxy_config_last_reload_success") == 1
    logged(proxy, f"reload: {name_of(three[2])} is new")
    logged(proxy, f"reload: {name_of(three[0])} gets no more requests")
    assert failures(proxy) == {}


CLOCK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* The wall clock goes a day ahead once the file JUMP exists; all other clocks go on. */
int clock_gettime(clockid_t clock, struct timespec* now) {
  const long failed = syscall(SYS_clock_gettime, clock, now);
  const char* jump = getenv("CLOCK_JUMP");
  if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && jump != NULL &&
      access(jump, F_OK) == 0) {
    now->tv_sec += 86400;
  }
  return (int)failed;
}
time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval* out, void* zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


def test_row_24_clock_jump(start_proxy, scripted, tmp_path):
    """A day ahead, and back: no timer goes by the wall clock, only the log does."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", tmp_path / "clock.so", tmp_path / "clock.c"], check=True)
    jump, release, late_over = tmp_path / "jump", threading.Event(), threading.Event()

    def script(number, request, carried):
        if b"hang" in request:
            late_over.wait(DEADLINE)
            return None
        release.wait(DEADLINE)
        return None if b"dies" in request and number % 2 else answer()

    backend = scripted(script)
    write_keys(tmp_path / "c.yaml", [backend], request_timeout=1.5, io_threads=1)
    env = {"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK_JUMP": str(jump),
           "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}
    proxy = start_proxy("--config", tmp_path / "c.yaml", env=env).ready(1)
    with asking(proxy, ["before"] * 8) as asked, asking(proxy, ["hang"]) as late:
        wait_until(lambda: len(backend.requests) == 9, "all to be under way")
        begin = time.monotonic()
        jump.touch()
        assert_never(asked.done, 0.3, "a timer went off with the wall clock")
        release.set()
        assert {response.status for response in asked.result()} == {200}
        [response] = late.result()
        late_over.set()
        assert response.status == 504 and 0.9 < time.monotonic() - begin < DEADLINE / 2, "in its own time"
    stamp = logged(proxy, "calls failed: 1 timeout").split(" ")[0]
    tomorrow = time.strftime("%Y-%m-%d", time.localtime(time.time() + 86400))
    assert stamp in (tomorrow, time.strftime("%Y-%m-%d", time.localtime(time.time() + 86400 - DEADLINE)))
    jump.unlink()
    assert {response.status for response in ask_all(proxy, ["after"] * 8)} == {200}
    assert failures(proxy) == {(name_of(backend), "timeout"): 1}
    assert finished(proxy, "ok") == 16 and finished(proxy, "timeout") == 1


def test_row_24_no_wall_clock_in_the_sources():
    """Only what dates the lines of a log may ask for the time of day."""
    wall = re.compile(r"system_clock|high_resolution_clock|utc_clock|file_clock|gettimeofday|CLOCK_REALTIME|"
                      r"std::time\(|\btime\((?:0|nullptr|NULL)\)|localtime|gmtime")
    loggers = {"backends/sim/startup_log.cc", "backends/sim/sim_engine.cc",
               "backends/sim/server.cc"}  # the dates in its answers
    folders = ["configs", "batcher", "backends", "launcher", "proxy"]
    users = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*")
             if path.suffix in (".h", ".cc") and wall.search(path.read_text())}
    assert users <= loggers, users - loggers
    assert wall.search("std::chrono::system_clock::now()"), "the check sees one"


# --- 31 to 33, 36: backends that come and go ----------------------------------------------------


def test_row_31_all_down_then_up(serve, engines):
    four = engines(4)
    proxy = serve(four)
    for engine in four:
        engine.kill()
    logged(proxy, r"no backend is ready; requests wait for one for up to 110 s \(hold_timeout\)")
    assert call(proxy.admin, "/readyz")[0].status == 503
    wait_until(lambda: call(proxy.url, "/health")[0].status == 503, "GET /health")
    prompts = [f"p{number}" for number in range(500)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 500, "all to be held")
        four[2].start()
        responses = asked.result()
    assert_all_right(responses, prompts)
    assert {response.headers["x-batchproxy-attempts"] for response in responses} == {"1"}
    assert received(four) == {text_of(prompt): 1 for prompt in prompts}, "each once"
    logged(proxy, "a backend is ready again; 500 requests have waited for it")
    assert failures(proxy) == {} and figure(proxy, "batchproxy_requests_retried_total") == 0
    wait_until(lambda: finished(proxy, "ok") == 500, "all to be counted")


def test_row_31_all_down_for_too_long(serve, engines):
    [engine] = engines(1)
    proxy = serve([engine], hold_timeout=0.3)
    engine.kill()
    logged(proxy, r"no backend is ready; requests wait for one for up to 0.3 s \(hold_timeout\)")
    begin = time.monotonic()
    responses = ask_all(proxy, [f"p{number}" for number in range(100)])
    assert 0.3 <= time.monotonic() - begin < DEADLINE / 2
    assert {(response.status, response.code) for response in responses} == {(503, "no_backend")}
    assert all(int(response.headers["retry-after"]) > 0 for response in responses)
    assert errors(proxy, "no_backend") == finished(proxy, "shed") == 100
    engine.start()
    proxy.ready(1)
    assert_all_right(ask_all(proxy, ["after"]), ["after"])
    assert received([engine]) == {text_of("after"): 1}


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"503 Service Unavailable"])
def test_row_32_backend_asks_to_wait(serve, scripted, status):
    times = []

    def shy(number, request, carried):
        times.append(time.monotonic())
        return answer(b'{"error":{"message":"busy"}}', status, b"retry-after: 1\r\n") if number == 1 else answer()

    busy, free = scripted(shy), scripted(lambda *_: answer())
    proxy = serve([busy, free])
    attempts = collections.Counter()

    def both_asked():
        response, _ = ask(proxy, "p")
        assert response.status == 200
        attempts[response.headers["x-batchproxy-attempts"]] += 1
        return len(times) >= 2

    wait_until(both_asked, "the pause to end")
    assert times[1] - times[0] >= 1, "left alone for as long as it has asked"
    assert attempts["2"] == 1 and set(attempts) == {"1", "2"}
    assert len(free.requests) > 5, "the others were served meanwhile"
    assert failures_told(proxy) == {(name_of(busy), "status"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1
    assert figure(proxy, f'batchproxy_backend_breaker_open{{backend="{name_of(busy)}"}}') == 0


def test_row_33_late_answer_of_an_abandoned_attempt(serve, scripted):
    release, written = threading.Event(), threading.Event()

    def tell():
        written.set()

    late = scripted(lambda *_: [lambda: release.wait(DEADLINE), answer(b'{"choices":[{"text":"late"}]}'), tell])
    prompt = scripted(lambda number, *_: answer(b'{"choices":[{"text":"in time, %d"}]}' % number))
    proxy = serve([late, prompt], attempt_timeout=0.5, io_threads=1)

    async def talk():
        """On one connection: whatever came late would stand in front of the next answer."""
        wire, attempts, number = await chaos_client.connect(proxy.address), [], 0
        while not attempts or attempts[-1] == "1":
            number += 1
            response = await asyncio.wait_for(wire.exchange(request_of("p")), DEADLINE)
            assert response.status == 200 and not response.extra
            assert json.loads(response.body) == {"choices": [{"text": f"in time, {number}"}]}
            attempts.append(response.headers["x-batchproxy-attempts"])
        release.set()
        assert await asyncio.to_thread(wait_until, lambda: written.is_set() or not late_open(), "the late answer")
        for _ in range(5):
            number += 1
            response = await asyncio.wait_for(wire.exchange(request_of("p")), DEADLINE)
            if response.headers["x-batchproxy-backend"] == name_of(late):
                assert b"late" in response.body  # it is in time now
                number -= 1
            else:
                assert json.loads(response.body) == {"choices": [{"text": f"in time, {number}"}]}
        assert not wire.unasked
        wire.close()
        return attempts

    def late_open():
        return late.carriers[0].fileno() >= 0

    attempts = asyncio.run(talk())
    assert attempts[-1] == "2"
    assert failures_told(proxy) == {(name_of(late), "timeout"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1
    wait_until(lambda: finished(proxy, "ok") == len(attempts) + 5, "all to be counted")


def test_row_36_connection_refused(serve, engines):
    """Nobody looks at its health for a minute: the call finds out."""
    gone, healthy = engines(2)
    proxy = serve([gone, healthy], health_interval=60)
    gone.kill()
    prompts = [f"p{number}" for number in range(40)]
    responses = ask_all(proxy, prompts)
    assert_all_right(responses, prompts)
    assert {response.headers["x-batchproxy-attempts"] for response in responses} == {"1"}, "nothing was sent to it"
    told = failures_told(proxy)
    assert set(told) == {(name_of(gone), "refused")}
    assert figure(proxy, "batchproxy_requests_retried_total") == told[name_of(gone), "refused"] >= 1
    logged(proxy, f"{name_of(gone)} .* is not ready: it refuses connections")
    assert figure(proxy, f'batchproxy_backend_up{{backend="{name_of(gone)}"}}') == 0
    assert received([gone]) == {}


class BlackHole:
    """A backend that vanishes: after that, nobody answers who tries to connect to it.

    It answers a first request on a connection, and vanishes of a second one."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.05)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.fillers, self.over = [], False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while not self.over:
            with contextlib.suppress(TimeoutError):
                client, _ = self.listener.accept()
                threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        client.settimeout(DEADLINE)
        with client, contextlib.suppress(OSError):
            request = client.recv(65536)
            if not request.startswith(b"POST"):
                client.sendall(answer(MODELS if b"/v1/models" in request[:20] else b""))
                return
            client.sendall(answer())
            if client.recv(65536):
                self.vanish()
                reset(client)

    def vanish(self):
        self.over = True
        self.thread.join()
        self.listener.listen(0)  # and what is beyond its backlog, the kernel drops
        with contextlib.suppress(TimeoutError):
            while True:
                self.fillers.append(socket.socket())
                self.fillers[-1].settimeout(0.2)
                self.fillers[-1].connect(self.listener.getsockname())

    def close(self):
        self.over = True
        self.thread.join()
        for one in (self.listener, *self.fillers):
            one.close()


def test_row_36_unroutable_address(serve, scripted):
    healthy = scripted(lambda *_: answer())
    with contextlib.closing(BlackHole()) as hole:
        proxy = serve([hole, healthy], health_interval=60, connect_timeout=0.2, metrics_interval=60)
        hole.vanish()
        responses = ask_all(proxy, ["p"] * 8)
        assert {(response.status, response.headers["x-batchproxy-backend"], response.headers["x-batchproxy-attempts"])
                for response in responses} == {(200, name_of(healthy), "1")}
        told = failures_told(proxy)
        assert set(told) == {(name_of(hole), "unreachable")}
        assert figure(proxy, "batchproxy_requests_retried_total") == told[name_of(hole), "unreachable"] >= 1
        wait_until(lambda: finished(proxy, "ok") == 8, "all to be counted")


def test_row_09_death_over_a_kept_connection_counts_whatever_follows(serve, scripted):
    """The request was sent, so the engine may have died of it, even if nobody can say so by refusing."""
    healthy = scripted(lambda *_: answer())
    with contextlib.closing(BlackHole()) as hole:
        proxy = serve([hole, healthy], io_threads=1, health_interval=60, connect_timeout=0.2, metrics_interval=60)
        while not hole.over:
            response, _ = ask(proxy, "p")
            assert response.status == 200
        assert response.headers["x-batchproxy-attempts"] == "2"
        assert response.headers["x-batchproxy-backend"] == name_of(healthy)
        assert failures_told(proxy) == {(name_of(hole), "reset"): 1}
        assert figure(proxy, "batchproxy_requests_retried_total") == 1
