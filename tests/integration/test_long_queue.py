"""Requests that wait in a long queue are moved into smaller buffers: every byte of theirs comes through."""
import json
import re
import socket
import threading

from tests.support.asking import call
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until
from tests.support.wire import answer


REQUESTS = 120
LONG = 40000  # more than the common buffer holds


def echo(_number, request, _carried):
    head, _, body = request.partition(b"\r\n\r\n")
    target = head.split()[1].decode()
    bearer = re.search(rb"(?i)authorization: (.+)", head)[1].strip().decode()
    prompt = json.loads(body)["prompt"]
    text = {"target": target, "bearer": bearer, "prompt": prompt}
    return answer(json.dumps({"choices": [{"index": 0, "text": json.dumps(text)}]}).encode())


def request(number):
    """Small, long and chunked bodies, every fourth with a request of no body behind it in the same packet."""
    prompt = f"{number}." * (LONG // 4 if number % 3 == 1 else 5)
    body = json.dumps({"model": "m", "prompt": prompt}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-{number}\r\n"
    if number % 3 == 2:
        framing, body = "Transfer-Encoding: chunked", b"%x\r\n%s\r\n3\r\n   \r\n0\r\n\r\n" % (len(body), body)
    else:
        framing = f"Content-Length: {len(body)}"
    behind = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" if number % 4 == 0 else b""
    return prompt, f"{head}{framing}\r\n\r\n".encode() + body + behind


def read_answer(stream):
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, stream.read(length)


def test_requests_that_wait_in_a_long_queue_come_through_whole(start_proxy):
    backend = ScriptedEngine(echo)
    # The queue leaves when it holds them all, and not before.
    proxy = start_proxy("--backend", backend.url, "--flush", "fixed", "--batch-size", str(REQUESTS),
                        "--batch-timeout", "60", "--io-threads", "1").ready(1)
    host, port = proxy.url.removeprefix("http://").rsplit(":", 1)
    clients, prompts = [], []
    for number in range(REQUESTS):
        prompt, bytes_ = request(number)
        clients.append(socket.create_connection((host, int(port)), timeout=60))
        prompts.append(prompt)
        threading.Thread(target=clients[-1].sendall, args=(bytes_,)).start()
        wait_until(lambda: number == REQUESTS - 1 or proxy.status()["requests"]["queued"] == number + 1
                   if number % 20 == 19 else True, "they wait")
    for number, client in enumerate(clients):
        with client, client.makefile("rb") as stream:
            status, text = read_answer(stream)
            assert status == 200, text
            got = json.loads(json.loads(text)["choices"][0]["text"])
            assert got == {"target": "/v1/completions", "bearer": f"Bearer key-{number}", "prompt": prompts[number]}
            if number % 4 == 0:
                assert read_answer(stream)[0] == 200
    assert call(proxy.url, "/version")[0].status == 200
