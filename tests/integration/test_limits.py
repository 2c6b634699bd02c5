"""What one client can take: time, prompts, memory, connections, descriptors. Real sockets, real programs.

Rows are those of the table of faults that the project holds itself to."""
import contextlib
import json
import socket
import threading
import time

import pytest
from conftest import DEADLINE, MODEL, call, complete, wait_until
from scripted_backend import ScriptedBackend, answer


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
        time.sleep(0.3)
        client.sendall(b"x")  # so much is progress
        said = read_all(client)
        took = time.monotonic() - begin
    assert said.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in said
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
            said[name] = read_answer(client)[0], time.monotonic() - begin

    clients = [threading.Thread(target=send, args=each)
               for each in [("drip", 100, 0.5), ("steady", 900, 0.5)]]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    text, took = said["drip"]
    assert text.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in text and 9.5 <= took < 15
    text, took = said["steady"]
    assert text.startswith(b"HTTP/1.1 200 ") and took > 10.5


def test_row_write_stall_a_client_that_does_not_read_is_cut_off(start_proxy, tmp_path):
    config = tmp_path / "short.yaml"
    config.write_text("batchproxy: {stall_timeout: 0.5}\n")
    backend = ScriptedBackend(lambda *_: answer(b'{"choices":[{"text":"' + b"x" * 20_000_000 + b'"}]}'))
    proxy = start_proxy("--config", config, "--backend", backend.url).ready(1)
    try:
        with connect(proxy, receive_buffer=65536) as slow, connect(proxy, receive_buffer=65536) as stuck:
            body = json.dumps({"model": "m", "prompt": "x"}).encode()
            for client in (slow, stuck):
                client.sendall(head(len(body)) + body)
            # One that reads on and on gets it all, however long that takes.
            got, begin = 0, time.monotonic()
            while got < 20_000_000:
                more = slow.recv(1_000_000)
                assert more, f"cut off after {got} bytes, {time.monotonic() - begin} s"
                got += len(more)
                time.sleep(0.05 if time.monotonic() - begin < 1.5 else 0)
            wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "cut off")
            assert proxy.status()["requests"]["finished"]["ok"] == 1
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
