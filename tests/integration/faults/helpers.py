"""What the tests of the table of faults share: clients, and what the proxy says in its log and its /metrics."""
import asyncio
import collections
import concurrent.futures
import contextlib
import json
import re
import socket
import threading

from tests.chaos import client as chaos_client
from tests.support.asking import call, labelled
from tests.support.failing_engine import text_of
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import MODELS, answer, reset_on_close


def assert_law(proxy):
    def holds():
        now = proxy.metrics()
        finished = sum(labelled(now, "batchproxy_requests_finished_total").values())
        waiting = now["batchproxy_requests_queued"] + now["batchproxy_requests_inflight"]
        return waiting == 0 and now["batchproxy_requests_received_total"] == finished
    wait_until(holds, "received = finished, nothing queued or in flight")


def write_keys(path, backends, batch_size=16, batch_timeout=0.5, **keys):
    entries = [{"url": backend.url, "max_num_seqs": getattr(backend, "slots", 256)} for backend in backends]
    settings = {"health_interval": 0.1, "io_threads": 2, "backends": entries, **keys}
    fresh = path.with_suffix(".new")  # replaced in one step: the proxy may read it at any moment
    fresh.write_text(json.dumps({"batch_size": batch_size, "batch_timeout": batch_timeout, "batchproxy": settings}))
    fresh.replace(path)


def name_of(backend):
    return backend.url.removeprefix("http://")


def received(engines):
    """How often each answer's text was asked for."""
    return collections.Counter(text for engine in engines for _, what, _, rest in engine.events()
                               if what == "received" for text in rest.rsplit(" ", 1)[-1].split(","))


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
    return proxy.metrics()[name]


def finished(proxy, result):
    return figure(proxy, f'batchproxy_requests_finished_total{{result="{result}"}}')


def errors(proxy, code):
    return figure(proxy, f'batchproxy_errors_total{{code="{code}"}}')


def failures(proxy):
    """{(backend, reason): calls that failed so} of /metrics."""
    found = {}
    for name, value in proxy.metrics().items():
        match = re.fullmatch(r'batchproxy_attempts_failed_total\{backend="(.*)",reason="(.*)"\}', name)
        if match and value:
            found[match[1], match[2]] = value
    return found


def failures_told(proxy):
    """The same as failures(), once the log has told as many."""
    def told():
        said = collections.Counter()
        for line in list(proxy.errors):
            match = re.search(r"warning (\S+): calls failed: (.*); requests are sent again where they can be$", line)
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


# --- engines that say nothing --------------------------------------------------------------------


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
                reset_on_close(client)

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
