"""What one client can take: time, prompts, memory, connections, descriptors. Real sockets, real programs.

Rows are those of the table of faults that the project holds itself to."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import socket
import threading
import time

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import PROXY
from tests.support.program import Program
from tests.support.proxy import write_config
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, assert_never, wait_until
from tests.support.wire import answer


def connect(proxy, receive_buffer=None):
    host, port = proxy.address.split(":")
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(DEADLINE)
    client.connect((host, int(port)))
    return client


def head(length, path="/v1/completions"):
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()


def read_all(client):
    """What the proxy sends until it closes; a reset ends it, too."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := client.recv(65536):
            data += more
    return data


def read_answer(client):
    """One answer of known length: its head, and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        assert more, f"closed after {data!r}"
        data += more
    text, _, body = data.partition(b"\r\n\r\n")
    length = int(text.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return text, body


# --- time: slow bodies, and clients that do not read --------------------------------------------


def test_row_slowloris_a_body_that_stands_still_is_given_up(start_proxy, tmp_path):
    config = tmp_path / "short.yaml"
    config.write_text("batchproxy: {stall_timeout: 0.5}\n")
    proxy = start_proxy("--config", config, "--backend", "http://127.0.0.1:9")
    with connect(proxy) as client:
        begin = time.monotonic()
        client.sendall(head(1_000_000) + b"x" * 100_000)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)  # nothing is said yet
        client.settimeout(DEADLINE)
        client.sendall(b"x")  # so much is progress
        said = read_all(client)
        took = time.monotonic() - begin
    assert said.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in said
    assert b"no byte came for 0.5 s (batchproxy.stall_timeout)" in said
    assert 0.7 <= took < 5


def test_row_slowloris_a_body_that_drips_is_given_up_and_a_steady_one_is_not(served):
    """Below 1 KiB/s, once ten seconds have passed; just above it, the body may take its time."""
    said = {}

    def send(name, piece, every):
        body = json.dumps({"model": MODEL, "prompt": "x" * 20_000, "max_tokens": 1}).encode()
        with connect(served) as client:
            begin = time.monotonic()
            client.sendall(head(len(body)))
            client.settimeout(every)
            while body:
                client.sendall(body[:piece])
                body = body[piece:]
                with contextlib.suppress(TimeoutError):
                    if client.recv(1, socket.MSG_PEEK):
                        break
            client.settimeout(DEADLINE)
            said[name] = b"".join(read_answer(client)), time.monotonic() - begin

    clients = [threading.Thread(target=send, args=each)
               for each in [("drip", 100, 0.5), ("steady", 900, 0.5)]]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    text, took = said["drip"]
    assert text.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in text and 9.5 <= took < 15
    assert b"on average fewer than 1024 bytes a second came" in text
    text, took = said["steady"]
    assert text.startswith(b"HTTP/1.1 200 ") and took > 10.5


def test_row_write_stall_a_client_that_does_not_read_is_cut_off(start_proxy, tmp_path):
    config = tmp_path / "short.yaml"
    config.write_text("batchproxy: {stall_timeout: 0.5}\n")
    backend = ScriptedEngine(lambda *_: answer(b'{"choices":[{"text":"' + b"x" * 20_000_000 + b'"}]}'))
    proxy = start_proxy("--config", config, "--backend", backend.url).ready(1)
    try:
        with connect(proxy, receive_buffer=65536) as slow, connect(proxy, receive_buffer=65536) as stuck:
            body = json.dumps({"model": "m", "prompt": "x"}).encode()
            for client in (slow, stuck):
                client.sendall(head(len(body)) + body)
            # One that reads on and on gets it all, however long that takes: longer than the other may.
            got, begin, cut_off = 0, time.monotonic(), False
            while got < 20_000_000:
                cut_off = cut_off or proxy.status()["requests"]["finished"]["client_gone"] == 1
                more = slow.recv(1_000_000 if cut_off else 1_000)
                assert more, f"cut off after {got} bytes, {time.monotonic() - begin} s"
                got += len(more)
            assert cut_off, "the other one is cut off meanwhile"
            wait_until(lambda: proxy.status()["requests"]["finished"]["ok"] == 1, "the other one to be counted")
            assert len(read_all(stuck)) < 20_000_000
    finally:
        backend.close()


# --- prompts ------------------------------------------------------------------------------------


def test_row_prompts_a_list_beyond_max_prompts_is_refused(start_proxy, start_engine, tmp_path):
    config = tmp_path / "few.yaml"
    config.write_text("batchproxy: {max_prompts: 8}\n")
    proxy = start_proxy("--config", config, "--backend", start_engine().url).ready(1)
    assert complete(proxy.url, ["a"] * 8, max_tokens=1)[0].status == 200
    response, said = complete(proxy.url, ["a"] * 9)
    assert response.status == 400 and response.headers["x-should-retry"] == "false"
    assert said["error"]["code"] == "too_many_prompts" and said["error"]["param"] == "prompt"
    assert "max_prompts" in said["error"]["message"]


# --- memory -------------------------------------------------------------------------------------


def gauge(proxy, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", call(proxy.admin, "/metrics")[1].decode(), re.M)[1])


@pytest.fixture
def narrow(start_proxy, tmp_path):
    """A proxy with a megabyte for bodies, in front of a backend that answers when told to."""
    release = threading.Event()
    backend = ScriptedEngine(lambda *_: release.wait(DEADLINE) and answer())
    config = tmp_path / "narrow.yaml"
    config.write_text("batchproxy: {max_buffered_bytes: 1048576, max_body_bytes: 1048576, io_threads: 2}\n")
    proxy = start_proxy("--config", config, "--backend", backend.url).ready(1)
    proxy.release = release
    yield proxy
    release.set()
    backend.close()


def body_of(size):
    return b'{"model":"m","prompt":"' + b"x" * (size - 25) + b'"}'


def test_row_34_new_bodies_are_refused_when_memory_is_full_and_taken_again_after(narrow):
    """From 95 % on: 503 right after the head, before the body is there."""
    held = []
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            held.append(stack.enter_context(connect(narrow)))
            held[-1].sendall(head(64_000) + body_of(64_000))
        wait_until(lambda: gauge(narrow, "batchproxy_buffered_bytes") >= 16 * 64_000, "bodies are held")
        with connect(narrow) as client:
            client.sendall(head(1000))  # and no body
            said = read_all(client)
        assert said.startswith(b"HTTP/1.1 503 ") and b'"overloaded"' in said and b"retry-after: 1\r\n" in said
        assert call(narrow.url, "/v1/models")[0].status == 200, "no body, no memory"
        narrow.release.set()
        for client in held:
            assert read_answer(client)[0].startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: gauge(narrow, "batchproxy_buffered_bytes") == 0, "all is given back")
    assert call(narrow.url, "/v1/completions", body_of(1000))[0].status == 200


def test_row_34_half_read_bodies_that_hold_all_memory_end(start_proxy, tmp_path):
    """Reading stops from 80 % on; nobody waits for ever, and those who can, finish."""
    backend = ScriptedEngine(lambda *_: answer())
    config = tmp_path / "narrow.yaml"
    config.write_text("batchproxy: {max_buffered_bytes: 1048576, max_body_bytes: 1048576, io_threads: 2, "
                      "stall_timeout: 1}\n")
    proxy = start_proxy("--config", config, "--backend", backend.url).ready(1)
    bodies = {}

    def send(number):
        with connect(proxy) as client:
            try:
                client.sendall(head(400_000))
                body = body_of(400_000)
                for at in range(0, len(body), 20_000):
                    client.sendall(body[at:at + 20_000])
                    if select.select([client], [], [], 0.02)[0]:
                        break  # it has its answer already
            except OSError:
                pass
            bodies[number] = read_answer(client)[0].split()[1]

    try:
        clients = [threading.Thread(target=send, args=[number]) for number in range(12)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert len(bodies) == 12 and set(bodies.values()) <= {b"200", b"503"}, bodies
        assert list(bodies.values()).count(b"200") >= 2, "the oldest of a thread goes on"
        wait_until(lambda: gauge(proxy, "batchproxy_buffered_bytes") == 0, "all is given back")
        assert call(proxy.url, "/v1/completions", body_of(1000))[0].status == 200
    finally:
        backend.close()


# --- connections --------------------------------------------------------------------------------


def capped(start_proxy, tmp_path, url, cap):
    config = tmp_path / "capped.yaml"
    config.write_text(f"batchproxy: {{max_connections: {cap}, io_threads: 2}}\n")
    return start_proxy("--config", config, "--backend", url).ready(1)


def ask(client):
    """One request on a connection that stays open."""
    body = json.dumps({"model": MODEL, "prompt": "x", "max_tokens": 1}).encode()
    client.sendall(head(len(body)) + body)
    return read_answer(client)[0].split()[1]


def test_row_16_at_the_cap_the_longest_idle_makes_room(start_proxy, start_engine, tmp_path):
    proxy = capped(start_proxy, tmp_path, start_engine().url, 4)
    wait_until(lambda: proxy.status()["connections"] == 0, "the fixture's own have left")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy)) for _ in range(4)]
        for client in (clients[1], clients[0], clients[2], clients[3]):
            assert ask(client) == b"200"
        new = stack.enter_context(connect(proxy))  # waits until one has rested for a second
        assert ask(new) == b"200"
        assert read_all(clients[1]) == b"", "the longest idle one"
        for client in (clients[0], clients[2], clients[3]):
            assert ask(client) == b"200"
        assert gauge(proxy, "batchproxy_connections_evicted_total") == 1
        wait_until(lambda: gauge(proxy, 'batchproxy_connections{state="idle"}') == 4, "four rest")


def test_row_16_at_the_cap_with_nobody_idle_the_new_one_waits(start_proxy, tmp_path):
    release = threading.Event()
    backend = ScriptedEngine(lambda *_: release.wait(DEADLINE) and answer())
    proxy = capped(start_proxy, tmp_path, backend.url, 2)
    wait_until(lambda: proxy.status()["connections"] == 0, "the fixture's own have left")
    body = json.dumps({"model": "m", "prompt": "x"}).encode()
    try:
        with connect(proxy) as one, connect(proxy) as two, connect(proxy) as three:
            for client in (one, two):
                client.sendall(head(len(body)) + body)
            wait_until(lambda: proxy.status()["requests"]["received"] == 2, "two are under way")
            three.sendall(head(len(body)) + body)
            before = cpu_seconds(proxy)
            three.settimeout(1)
            with pytest.raises(TimeoutError):
                three.recv(1)
            three.settimeout(DEADLINE)
            assert cpu_seconds(proxy) - before < 0.2, "waiting is not spinning"
            assert proxy.status()["requests"]["received"] == 2 and proxy.status()["connections"] == 2
            release.set()
            assert read_answer(one)[0].startswith(b"HTTP/1.1 200 ")
            one.close()
            assert read_answer(three)[0].startswith(b"HTTP/1.1 200 ")
            assert gauge(proxy, "batchproxy_connections_evicted_total") == 0
    finally:
        release.set()
        backend.close()


def cpu_seconds(proxy):
    fields = pathlib.Path(f"/proc/{proxy.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- descriptors --------------------------------------------------------------------------------


def test_row_18_out_of_descriptors(start_proxy, tmp_path):
    """200 clients, 64 descriptors: no spin while it lasts, everybody answered once it is over."""
    release = threading.Event()
    backend = ScriptedEngine(lambda *_: release.wait(DEADLINE) and answer())
    config = tmp_path / "few.yaml"
    config.write_text("batchproxy: {max_connections: 10000, io_threads: 2}\n")
    limited = tmp_path / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -n 64\nexec {PROXY} "$@"\n')
    limited.chmod(0o755)
    proxy = start_proxy("--config", config, "--backend", backend.url, program=limited).ready(1)
    codes, told = [], []
    body = {"model": "m", "prompt": "x"}

    def client():
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                response, _ = call(proxy.url, "/v1/completions", body, {"Connection": "close"})
                if response.status == 200:
                    codes.append(response.status)
                    return
                told.append(response.headers["x-batchproxy-code"])
            release.wait(0.2)

    def errors():
        return gauge(proxy, 'batchproxy_accept_errors_total{errno="EMFILE"}')

    clients = [threading.Thread(target=client, daemon=True) for _ in range(200)]
    try:
        for each in clients:
            each.start()
        wait_until(lambda: errors() > 0, "out of descriptors")
        before, begin = cpu_seconds(proxy), time.monotonic()
        assert_never(lambda: codes, 2, "answered without the backend")
        assert (cpu_seconds(proxy) - before) / (time.monotonic() - begin) < 0.1
        release.set()
        for each in clients:
            each.join(DEADLINE)
        assert len(codes) == 200
        assert set(told) <= {"overloaded"}
        assert sum("cannot accept" in line for line in proxy.errors) <= 4, "once in ten seconds, a thread"
        assert call(proxy.url, "/v1/completions", body)[0].status == 200
    finally:
        release.set()
        backend.close()


# --- the port -----------------------------------------------------------------------------------


def test_row_23_a_taken_port_names_its_holder_before_any_engine_starts(tmp_path):
    config = write_config(tmp_path / "four.yaml")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        for flag, other in (("--listen", "--admin"), ("--admin", "--listen")):
            program = Program([PROXY, "--config", config, flag, address, other, "127.0.0.1:0"], tmp_path)
            assert program.wait() == 1
            said = "\n".join(program.errors)
            name = pathlib.Path("/proc/self/comm").read_text().strip()
            assert f"cannot listen on {address}" in said and f"{name} (pid {os.getpid()})" in said and flag in said
            assert not any("engine-" in line for line in program.lines + program.errors)
    assert not (tmp_path / "batchproxy_logs").exists(), "no engine was started"
