"""Rows 15, 17, 34 and 35: much at once, and errors of our own."""
import collections
import contextlib
import http.client
import json
import pathlib
import re
import resource
import time

import pytest

from tests.chaos import client as chaos_client
from tests.chaos.harness import resident_kib
from tests.support.asking import call
from tests.support.builds import is_sanitized
from tests.support.waiting import wait_until
from tests.support.wire import answer

from .helpers import (
    ask, ask_all, assert_all_right, assert_quiet, connect, errors, failures, figure, finished, request_of, write_keys)


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
    before = resident_kib(proxy.process.pid)
    bodies = [request_of([f"{client} {number}" for number in range(1000)]) for client in range(100)]
    with contextlib.ExitStack() as stack:
        for body in bodies:
            stack.enter_context(connect(proxy)).sendall(body)
        wait_until(lambda: figure(proxy, "batchproxy_prompts_queued") == 100_000, "the queue to be full")
        assert figure(proxy, "batchproxy_requests_queued") == 100
        grown = (resident_kib(proxy.process.pid) - before) * 1024
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
