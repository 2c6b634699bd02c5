"""The edge and the scheduler over real sockets, with simulated engines."""
import concurrent.futures
import json
import os
import signal
import socket
import struct
import threading

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import BENCH, ROOT
from tests.support.proxy import write_config
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

QUESTIONS = [json.loads(line) for line in (ROOT / "configs" / "questions.jsonl").read_text().splitlines()]


def prompt_of(question):
    return "\n".join([question["passage"], question["question"], *question["options"], "Answer:"])


def ask_all(url, workers, on_answer=lambda done: None):
    """Every question once, from `workers` threads: the answers in order."""
    done = 0
    lock = threading.Lock()

    def ask(question):
        nonlocal done
        response, body = complete(url, prompt_of(question))
        assert response.status == 200, body
        with lock:
            done += 1
            on_answer(done)
        return body["choices"][0]["text"]

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(ask, QUESTIONS))


def test_every_worker_gets_the_answer_that_a_direct_call_gives(start_proxy, start_engine, tmp_path):
    direct = ask_all(start_engine().url, 16)
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml")).ready(4)
    assert ask_all(proxy.url, 32) == direct
    proxy.assert_balanced()
    status = proxy.status()
    assert status["requests"]["finished"]["ok"] == len(QUESTIONS)
    assert all(backend["answered"] > 0 for backend in status["backends"])  # how many is the machine's business


def test_the_same_while_an_engine_is_killed_half_way(start_proxy, start_engine, tmp_path):
    direct = ask_all(start_engine().url, 16)
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml")).ready(4)
    victim = proxy.engine_pids(4)[1]

    def kill_half_way(done):
        if done == len(QUESTIONS) // 2:
            os.kill(victim, signal.SIGKILL)

    assert ask_all(proxy.url, 32, kill_half_way) == direct


@pytest.mark.parametrize("policy", [["--flush", "fixed"], ["--flush", "eager"]])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_every_policy_and_thread_count_answers_everything(start_proxy, tmp_path, policy, threads):
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=2), *policy,
                        "--batch-timeout", "0.05", "--io-threads", threads).ready(2)
    assert len(ask_all(proxy.url, 24)) == len(QUESTIONS)


def test_batching_can_be_switched_off(start_proxy, start_engine, tmp_path):
    engine = start_engine()
    (tmp_path / "c.yaml").write_text(f"enable_batching: false\nbatchproxy: {{backends: ['{engine.url}']}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    assert proxy.status()["flush"] == "off"
    assert complete(proxy.url, ["a", "b", "c"])[1]["choices"][2]["index"] == 2


def test_fixed_batches_print_the_classic_line_and_one_hint(start_proxy, start_engine):
    proxy = start_proxy("--backend", start_engine().url, "--flush", "fixed", "--batch-size", "16",
                        "--batch-timeout", "0.02").ready(1)
    for i in range(21):
        complete(proxy.url, f"question {i}")
    proxy.wait_for_line(r"batch 1: 1 prompts \(timeout\) to \S+: 1 answers in \S+ s, \S+ answers/s, 1/1 successful")
    hint = proxy.wait_for_line("hint:")[0].string
    assert "clients" in hint and "flush: eager" in hint


def test_the_bench_scores_questions_through_the_proxy(start_proxy, tmp_path):
    import subprocess
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=2)).ready(2)
    done = subprocess.run([BENCH, "run", "--url", proxy.url, "--admin", proxy.admin,
                           "--questions", ROOT / "configs" / "questions.jsonl", "--workers", "16"],
                          capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert f"answered    {len(QUESTIONS)}/{len(QUESTIONS)}" in done.stdout
    assert "prefix hits" in done.stdout and "engine-1" in done.stdout


# --- the edge -------------------------------------------------------------------------------------

def body_of(prompt="hello", **fields):
    return json.dumps({"model": MODEL, "prompt": prompt, "max_tokens": 2, **fields}).encode()


def raw(proxy, *pieces, until_closed=True):
    """Sends bytes as they are; everything that comes back until the proxy closes."""
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        for piece in pieces:
            connection.sendall(piece)
        data = b""
        while more := connection.recv(65536):
            data += more
            if not until_closed and b"\r\n\r\n" in data:
                break
        return data


def post(body, *fields, version="1.1", path="/v1/completions"):
    lines = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_requests_and_answers_pass_byte_for_byte(start_proxy):
    # Spacing, key order, an unknown field and a lone surrogate: all would change if re-written.
    body = b'{ "max_tokens" :2,"prompt":"\\ud835 x","model":"m" ,"unknown":1e2}'
    reply = b'{"choices" : [ {"text":"\\ud835"} ],"x":1.0}'
    backend = ScriptedEngine(lambda *_: answer(reply))
    proxy = start_proxy("--backend", backend.url).ready(1)
    response, text = call(proxy.url, "/v1/completions", body)
    assert response.status == 200 and text == reply
    assert backend.requests[0].endswith(b"\r\n\r\n" + body)
    backend.close()


def test_answers_say_where_they_come_from(served):
    response, _ = complete(served.url, "x")
    assert response.headers["x-batchproxy-backend"] == served.engine.url.removeprefix("http://")
    assert response.headers["x-batchproxy-attempts"] == "1"
    assert response.headers["x-request-id"]
    response, _ = call(served.url, "/v1/completions", body_of(), {"X-Request-Id": "mine-7"})
    assert response.headers["x-request-id"] == "mine-7"


def test_http10_and_connection_close_are_served(served):
    body = body_of()
    length = f"Content-Length: {len(body)}"
    old = raw(served, post(body, length, version="1.0"))
    assert old.startswith(b"HTTP/1.1 200") and b"connection: close" in old
    assert raw(served, post(body, length, "Connection: close")).startswith(b"HTTP/1.1 200")


def test_expect_100_continue_is_answered_before_the_body(served):
    body = body_of()
    host, port = served.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(post(b"", f"Content-Length: {len(body)}", "Expect: 100-continue",
                                "Connection: close"))
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")


def test_chunked_and_pipelined_requests_are_served(served):
    body = body_of()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
    request = post(chunked + b"0\r\n\r\n", "Transfer-Encoding: chunked")
    last = post(body, f"Content-Length: {len(body)}", "Connection: close")
    assert raw(served, request + request + last).count(b"HTTP/1.1 200") == 3
    whole = request + last
    assert raw(served, *[whole[i:i + 1] for i in range(len(whole))]).count(b"HTTP/1.1 200") == 2


def test_a_large_body_passes_and_one_over_the_limit_does_not(start_proxy, start_engine, tmp_path):
    engine = start_engine("--max-model-len", "100000")
    (tmp_path / "c.yaml").write_text(
        f"batchproxy: {{max_body_bytes: 300000, backends: ['{engine.url}']}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    assert complete(proxy.url, "word " * 50000)[0].status == 200
    response, text = call(proxy.url, "/v1/completions", body_of("x" * 300001))
    assert response.status == 413
    assert json.loads(text)["error"]["code"] == "body_too_large"


def test_errors_have_openais_shape(served):
    for path, body, method, status, code in [
            ("/v1/completions", b"{", "POST", 400, "invalid_json"),
            ("/v1/completions", b"[1]", "POST", 400, "invalid_request"),
            ("/v1/completions", b'{"model":7}', "POST", 400, "invalid_request"),
            ("/v1/completions", None, "GET", 405, "method_not_allowed"),
            ("/v1/nothing", b"{}", "POST", 404, "unknown_route"),
            ("/metrics", None, "GET", 404, "unknown_route")]:
        response, text = call(served.url, path, body, method=method)
        error = json.loads(text)["error"]
        assert (response.status, error["code"]) == (status, code)
        assert set(error) == {"message", "type", "param", "code"}
        assert response.headers["x-batchproxy-code"] == code
        assert response.headers["x-should-retry"] == "false"


def test_what_has_two_readings_is_refused_and_the_connection_closed(served):
    smuggle = post(b"0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n", "Content-Length: 5",
                   "Transfer-Encoding: chunked")
    reply = raw(served, smuggle)
    assert reply.startswith(b"HTTP/1.1 400") and reply.count(b"HTTP/1.1") == 1


def test_malformed_chunks_are_refused_again_and_again(served):
    for _ in range(20):
        for chunks in (b"zz\r\n", b"5\r\nhelloX", b"0\r\nbad\x01: x\r\n\r\n", b"1234567890123456\r\n"):
            reply = raw(served, post(chunks, "Transfer-Encoding: chunked"))
            assert reply.startswith(b"HTTP/1.1 400") and b'"code":"bad_http"' in reply
    assert complete(served.url, "still there?")[0].status == 200


def test_a_head_that_is_too_large_is_refused(served):
    assert raw(served, b"GET /" + b"a" * 9000).startswith(b"HTTP/1.1 414")
    assert raw(served, post(b"", "X: " + "a" * 17000)).startswith(b"HTTP/1.1 431")
    assert raw(served, post(b"", *["X: y"] * 101)).startswith(b"HTTP/1.1 431")


def test_engine_errors_pass_unchanged(served):
    response, text = call(served.url, "/v1/completions", body_of("@@400@@"))
    direct, direct_text = call(served.engine.url, "/v1/completions", body_of("@@400@@"))
    assert response.status == direct.status == 400
    assert text == direct_text and "x-batchproxy-code" not in response.headers


def test_streams_arrive_event_by_event_and_end_with_done(served):
    body = body_of("hello", stream=True, max_tokens=5)
    reply = raw(served, post(body, f"Content-Length: {len(body)}", "Connection: close"))
    head, _, rest = reply.partition(b"\r\n\r\n")
    assert b"text/event-stream" in head
    assert rest.count(b"data: ") >= 6 and b"data: [DONE]\n\n" in rest and rest.endswith(b"0\r\n\r\n")
    old = raw(served, post(body, f"Content-Length: {len(body)}", version="1.0"))
    assert b"chunked" not in old and old.endswith(b"data: [DONE]\n\n")


def test_a_client_that_leaves_frees_the_engine(start_proxy, start_engine):
    engine = start_engine("--sim-time-scale", "1")
    proxy = start_proxy("--backend", engine.url).ready(1)

    def running():
        text = call(engine.url, "/metrics")[1].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith("vllm:num_requests_running"))

    body = body_of("tell me a long story", max_tokens=2000, ignore_eos=True)
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(post(body, f"Content-Length: {len(body)}"))
        wait_until(lambda: running() == 1, "the request to run")
    wait_until(lambda: running() == 0, "the engine to be free")
    wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "the count")


def test_a_client_that_leaves_the_queue_is_never_sent(start_proxy, start_engine):
    engine = start_engine()
    proxy = start_proxy("--backend", engine.url, "--flush", "fixed", "--batch-timeout", "600").ready(1)
    body = body_of()
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(post(body, f"Content-Length: {len(body)}"))
        wait_until(lambda: proxy.status()["prompts"]["queued"] == 1, "the request to wait")
    wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "the count")
    assert proxy.status()["prompts"]["queued"] == 0


def test_clients_that_leave_at_any_moment_cost_nobody_else_an_answer(start_proxy, start_engine):
    proxy = start_proxy("--backend", start_engine().url, "--io-threads", "3").ready(1)
    body = body_of()
    request = post(body, f"Content-Length: {len(body)}")
    host, port = proxy.address.split(":")
    leaving = 400

    def leave(i):
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
            connection.sendall(request)
            if i % 3 == 0:  # a reset instead of an orderly end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(leave, range(leaving)))
        answers = list(pool.map(lambda i: complete(proxy.url, f"q {i}")[0].status, range(50)))
    assert answers == [200] * 50
    wait_until(lambda: proxy.status()["requests"]["queued"] + proxy.status()["requests"]["inflight"] == 0,
               "all to have ended")


def test_a_refused_client_that_is_still_sending_gets_to_read_why(served):
    endless = post(b"x" * 3_000_000, "Content-Length: 3000000000")
    reply = raw(served, endless)
    assert reply.startswith(b"HTTP/1.1 413") and b"body_too_large" in reply


def test_stopping_finishes_what_is_under_way(start_proxy, start_engine):
    engine = start_engine("--sim-time-scale", "1")
    proxy = start_proxy("--backend", engine.url).ready(1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(complete, proxy.url, f"story {i}", max_tokens=60, ignore_eos=True)
                 for i in range(8)]
        wait_until(lambda: proxy.status()["requests"]["inflight"] == 8, "all to be under way")
        proxy.process.send_signal(signal.SIGTERM)
        assert [future.result()[0].status for future in asked] == [200] * 8
    assert proxy.wait() == 0
