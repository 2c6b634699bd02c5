"""Backends that misbehave, scripted connection by connection."""
import concurrent.futures
import json
import socket
import threading

import pytest

from tests.support.asking import MODEL, call
from tests.support.waiting import wait_until
from tests.support.wire import answer

BODY = {"model": "m", "prompt": "p"}


def ask(proxy):
    response, text = call(proxy.url, "/v1/completions", BODY)
    return response, json.loads(text)


def test_a_kept_connection_that_the_server_had_closed_is_replaced_unseen(start_proxy, scripted):
    # Closes as its second request arrives: what uvicorn does when an idle time-out races with us.
    racy = scripted(lambda number, request, carried: answer() if carried == 1 else None)
    proxy = start_proxy("--backend", racy.url, "--io-threads", "1").ready(1)
    for _ in range(5):
        response, _ = ask(proxy)
        assert response.status == 200
        assert response.headers["x-batchproxy-attempts"] == "1"


def test_a_request_that_dies_unanswered_is_retried_once_on_another_backend(start_proxy, scripted):
    dying = scripted(lambda *_: None)
    healthy = scripted(lambda *_: answer())
    proxy = start_proxy("--backend", dying.url, "--backend", healthy.url).ready(2)
    attempts = set()
    for _ in range(6):
        response, _ = ask(proxy)
        assert response.status == 200
        assert response.headers["x-batchproxy-backend"] == healthy.url.removeprefix("http://")
        attempts.add(response.headers["x-batchproxy-attempts"])
    assert "2" in attempts
    assert proxy.status()["requests"]["retried"] == len(dying.requests)


def test_with_one_backend_it_is_retried_once_on_a_fresh_connection(start_proxy, scripted):
    flaky = scripted(lambda number, *_: answer() if number % 2 == 0 else None)
    proxy = start_proxy("--backend", flaky.url).ready(1)
    response, _ = ask(proxy)
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"


def test_a_request_that_is_lost_three_times_and_then_alone_is_answered_502(start_proxy, scripted):
    dying = scripted(lambda *_: None)
    proxy = start_proxy("--backend", dying.url).ready(1)
    response, body = ask(proxy)
    assert response.status == 502 and body["error"]["code"] == "backend_lost"
    assert response.headers["x-should-retry"] == "true"
    assert len(dying.requests) == 4


@pytest.mark.parametrize("reply, code", [
    (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nshort", "backend_lost"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhel", "backend_lost"),
    (b"SSH-2.0-OpenSSH\r\n\r\n", "bad_backend_response"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "bad_backend_response"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "bad_backend_response"),
    (answer(b"", b"500 Internal Server Error"), "bad_backend_response"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, "bad_backend_response"),
])
def test_an_answer_that_is_none_is_never_passed_on(start_proxy, scripted, reply, code):
    broken = scripted(lambda *_: reply)
    proxy = start_proxy("--backend", broken.url).ready(1)
    response, body = ask(proxy)
    assert response.status == 502 and body["error"]["code"] == code


def test_an_answer_that_is_cut_short_is_asked_for_again(start_proxy, scripted):
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nshort"
    flaky = scripted(lambda number, *_: cut if number == 1 else answer())
    proxy = start_proxy("--backend", flaky.url).ready(1)
    response, _ = ask(proxy)
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"


def test_bytes_after_an_answer_do_not_become_the_next_one(start_proxy, scripted):
    poisonous = scripted(lambda *_: answer(b'{"n":1}') + answer(b'{"evil":1}'))
    proxy = start_proxy("--backend", poisonous.url, "--io-threads", "1").ready(1)
    for _ in range(4):
        assert ask(proxy)[1] == {"n": 1}


def test_interim_answers_are_skipped(start_proxy, scripted):
    polite = scripted(lambda *_: b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + answer())
    proxy = start_proxy("--backend", polite.url).ready(1)
    assert ask(proxy)[0].status == 200


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
WHOLE_STREAM = EVENTS + b"9\r\ndata: 1\n\n\r\n" + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def ask_for_stream(proxy):
    return call(proxy.url, "/v1/completions", {**BODY, "stream": True})


# An engine sends a stream's head when it takes the request, long before the first token.
@pytest.mark.parametrize("begun", [EVENTS, EVENTS + b"9\r\n"], ids=["head", "chunk size"])
def test_a_stream_that_is_lost_before_its_first_event_is_asked_for_elsewhere(start_proxy, scripted, begun):
    dying = scripted(lambda *_: begun)
    healthy = scripted(lambda *_: WHOLE_STREAM)
    proxy = start_proxy("--backend", dying.url, "--backend", healthy.url).ready(2)
    attempts = set()
    for _ in range(6):
        response, text = ask_for_stream(proxy)
        assert response.status == 200 and text == b"data: 1\n\ndata: [DONE]\n\n"
        attempts.add(response.headers["x-batchproxy-attempts"])
    assert "2" in attempts
    assert proxy.status()["requests"]["retried"] == len(dying.requests)


def test_a_stream_that_is_always_lost_before_its_first_event_is_answered_502(start_proxy, scripted):
    dying = scripted(lambda *_: EVENTS)
    proxy = start_proxy("--backend", dying.url).ready(1)
    response, text = ask_for_stream(proxy)
    assert response.status == 502 and json.loads(text)["error"]["code"] == "backend_lost"
    assert len(dying.requests) == 4


def test_a_stream_that_breaks_within_its_first_event_is_answered_502(start_proxy, scripted):
    broken = scripted(lambda *_: EVENTS + b"9\r\ndata")
    proxy = start_proxy("--backend", broken.url).ready(1)
    response, text = ask_for_stream(proxy)
    assert response.status == 502 and json.loads(text)["error"]["code"] == "backend_lost"


def test_a_stream_whose_engine_hangs_before_its_first_event_is_asked_for_elsewhere(start_proxy, scripted, tmp_path):
    over = threading.Event()
    hanging = scripted(lambda *_: [EVENTS, lambda: over.wait(60), None])
    healthy = scripted(lambda *_: WHOLE_STREAM)
    (tmp_path / "c.yaml").write_text(
        f"batchproxy: {{attempt_timeout: 0.3, backends: ['{hanging.url}', '{healthy.url}']}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(2)
    while not hanging.requests:
        assert ask_for_stream(proxy)[1] == b"data: 1\n\ndata: [DONE]\n\n"
    over.set()


def test_a_stream_without_an_event_is_passed_on(start_proxy, scripted):
    empty = scripted(lambda *_: EVENTS + b"0\r\n\r\n")
    proxy = start_proxy("--backend", empty.url).ready(1)
    response, text = ask_for_stream(proxy)
    assert response.status == 200 and text == b"" and response.headers["content-type"] == "text/event-stream"


def test_a_stream_that_breaks_ends_with_an_error_event_and_without_done(start_proxy, scripted):
    broken = scripted(lambda *_: EVENTS + b"9\r\ndata: 1\n\n\r\n" + b"9\r\nda")
    proxy = start_proxy("--backend", broken.url).ready(1)
    host, port = proxy.address.split(":")
    body = json.dumps({**BODY, "stream": True}).encode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        data = b""
        while more := connection.recv(65536):
            data += more
    assert b"data: 1\n\n" in data
    assert b'"code":"backend_lost"' in data
    assert b"[DONE]" not in data and not data.endswith(b"0\r\n\r\n")


def test_a_stream_that_has_said_done_is_whole_however_its_connection_ends(start_proxy, scripted):
    broken = scripted(lambda *_: EVENTS + b"9\r\ndata: 1\n\n\r\n" + b"e\r\ndata: [DONE]\n\n\r\n")
    proxy = start_proxy("--backend", broken.url).ready(1)
    response, text = ask_for_stream(proxy)
    assert response.status == 200 and text == b"data: 1\n\ndata: [DONE]\n\n"
    wait_until(lambda: proxy.status()["requests"]["finished"]["ok"] == 1, "it to count as answered")


@pytest.mark.parametrize("config, headers", [
    ("request_timeout: 0.3", {}),
    ("request_timeout: 600", {"x-stainless-read-timeout": "0.3"}),
])
def test_a_backend_that_hangs_is_answered_504_in_the_clients_time(start_proxy, scripted, tmp_path,
                                                                  config, headers):
    over = threading.Event()
    hanging = scripted(lambda *_: over.wait(60) and None)
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{{config}, backends: ['{hanging.url}']}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    response, text = call(proxy.url, "/v1/completions", BODY, headers)
    over.set()
    assert response.status == 504 and json.loads(text)["error"]["code"] == "backend_timeout"


def test_a_stream_may_take_longer_than_the_clients_read_timeout(start_proxy, start_engine):
    engine = start_engine("--sim-time-scale", "4")  # about 30 ms a token
    proxy = start_proxy("--backend", engine.url).ready(1)
    body = {"model": MODEL, "prompt": "p", "stream": True, "max_tokens": 40, "ignore_eos": True}
    response, text = call(proxy.url, "/v1/completions", body, {"x-stainless-read-timeout": "0.5"})
    assert response.status == 200 and text.endswith(b"data: [DONE]\n\n")


def test_a_body_never_becomes_a_second_request(start_proxy, scripted):
    seen = scripted(lambda *_: answer())
    proxy = start_proxy("--backend", seen.url, "--io-threads", "1").ready(1)
    evil = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
    call(proxy.url, "/tokenizer_info", evil, {"Content-Encoding": "gzip"}, method="GET")
    call(proxy.url, "/tokenizer_info")
    assert [request.split()[1] for request in seen.requests] == [b"/tokenizer_info"] * 2


def test_503_with_retry_after_when_nothing_is_up(start_proxy, scripted, tmp_path):
    gone = scripted(lambda *_: answer())
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{hold_timeout: 0, backends: ['{gone.url}']}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    gone.close()
    ask(proxy)  # finds out
    wait_until(lambda: proxy.status()["state"] == "no_backend", "the backend to be seen as gone")
    wait_until(lambda: call(proxy.url, "/health")[0].status == 503, "GET /health to say so")
    response, body = ask(proxy)
    assert response.status == 503 and body["error"]["code"] == "no_backend"
    assert int(response.headers["retry-after"]) > 0


def test_a_backend_that_was_down_at_the_start_is_used_once_it_comes_up(start_proxy, start_engine):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    proxy = start_proxy("--backend", f"http://127.0.0.1:{port}")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        early = pool.submit(call, proxy.url, "/v1/completions", {**BODY, "model": MODEL, "max_tokens": 1})
        wait_until(lambda: proxy.status()["requests"]["queued"] == 1, "the early request to wait")
        start_engine("--port", str(port))
        proxy.ready(1)
        assert early.result()[0].status == 200


def test_a_backend_with_a_key_gets_its_own_and_one_without_the_clients(start_proxy, scripted, tmp_path):
    keyed = scripted(lambda *_: answer())
    (tmp_path / "c.yaml").write_text(
        f"batchproxy: {{backends: [{{url: '{keyed.url}', api_key: secret-of-backend}}]}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    call(proxy.url, "/v1/completions", BODY, {"Authorization": "Bearer of-client", "Cookie": "c=1"})
    assert b"authorization: Bearer secret-of-backend" in keyed.requests[0]
    assert b"of-client" not in keyed.requests[0] and b"c=1" not in keyed.requests[0]

    plain = scripted(lambda *_: answer())
    proxy = start_proxy("--backend", plain.url).ready(1)
    call(proxy.url, "/v1/completions", BODY, {"Authorization": "Bearer of-client"})
    assert b"authorization: Bearer of-client" in plain.requests[0]


def test_a_client_that_leaves_after_a_large_body_is_noticed(start_proxy, scripted):
    over = threading.Event()
    hanging = scripted(lambda *_: over.wait(60) and None)
    proxy = start_proxy("--backend", hanging.url, "--io-threads", "1").ready(1)
    host, port = proxy.address.split(":")
    body = json.dumps({**BODY, "prompt": "x" * 200_000}).encode()
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: hanging.requests, "the request to arrive")
    wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "its leaving to be seen")
    over.set()


def ends_during_a_look(start_proxy, scripted, ask):
    """Whether `ask(proxy, engine)` is over while the proxy still looks at the health of an engine that ends each request
    without a word and is silent about its health from then on."""
    def die(*_):
        dying.health = None

    dying = scripted(die)
    ask(start_proxy("--backend", dying.url, "--io-threads", "1").ready(1), dying)
    return dying.silent_to[0].fileno() >= 0  # the proxy has not given up on its question yet


# A machine that stands still for as long as a look takes shows nothing: then it is tried anew.
TRIES = 5


def test_a_look_at_a_backend_does_not_outlast_the_requests_deadline(start_proxy, scripted):
    def ask(proxy, _):
        response, text = call(proxy.url, "/v1/completions", BODY, {"x-stainless-read-timeout": "0.5"})
        assert response.status == 502 and json.loads(text)["error"]["code"] == "backend_lost"

    assert any(ends_during_a_look(start_proxy, scripted, ask) for _ in range(TRIES))


def test_a_client_that_leaves_during_a_look_is_let_go_at_once(start_proxy, scripted):
    def ask(proxy, dying):
        host, port = proxy.address.split(":")
        body = json.dumps(BODY).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(head + body)
            wait_until(lambda: dying.silent_to, "the look to begin")
        wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "its leaving to be seen")

    assert any(ends_during_a_look(start_proxy, scripted, ask) for _ in range(TRIES))
