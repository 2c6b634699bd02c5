"""What is remembered of each request: on the admin address, in the access log, and for traces of others."""
import concurrent.futures
import json
import os
import re
import signal
import socket

from tests.support.asking import MODEL, call, complete
from tests.support.waiting import wait_until
from tests.support.wire import answer

from .test_shared_calls import ask_all, list_engine, start  # noqa: F401 (a fixture)

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def record(proxy, request_id):
    """The record of a request, which its answer is a moment ahead of."""
    found = []

    def there():
        response, text = call(proxy.admin, f"/admin/requests/{request_id}")
        found[:] = [json.loads(text)] if response.status == 200 else []
        return found
    wait_until(there, f"the record of {request_id}")
    return found[0]


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


def test_a_retried_request_tells_of_each_attempt(start_proxy, scripted):
    # One closes without a word, the other answers.
    broken, well = scripted(lambda *_: None), scripted(lambda *_: answer())
    proxy = start_proxy("--backend", broken.url, "--backend", well.url).ready(2)

    def retried():
        response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "secret words"})
        return response if response.getheader("x-batchproxy-attempts") == "2" else None
    response = next(found for found in (retried() for _ in range(20)) if found)

    told = record(proxy, response.getheader("x-request-id"))
    assert (told["status"], told["result"], told["attempts_made"]) == (200, "ok", 2)
    assert [(a["backend"], a["end"]) for a in told["attempts"]] == [
        (broken.url.removeprefix("http://"), "reset"), (well.url.removeprefix("http://"), "200")]
    first, second = told["attempts"]
    assert 0 <= told["queue_ms"] == first["granted_ms"] <= first["ended_ms"] <= second["granted_ms"]
    assert second["ended_ms"] == told["total_ms"] >= told["first_byte_ms"] > 0
    assert told["path"] == "/v1/completions" and told["bytes_in"] > 20 and told["bytes_out"] > 100
    assert "secret" not in json.dumps(told)


def test_members_of_a_merged_call_name_their_leader(start_proxy, tmp_path, list_engine):  # noqa: F811
    proxy = start(start_proxy, tmp_path, [list_engine()], merge="always", flush="fixed", batch_size=4,
                  batch_timeout=30)
    answers = ask_all(proxy, ["a", "b", "c", "d"])
    told = [record(proxy, response.getheader("x-request-id")) for response, _ in answers]
    merged = [one["attempts"][0]["merged"] for one in told]
    assert [one["members"] for one in merged] == [4] * 4
    assert {one["leader"] for one in merged} <= {one["id"] for one in told}
    assert len({one["leader"] for one in merged}) == 1


def test_failed_and_slow_ones_are_found(served):
    response, _ = call(served.url, "/v1/completions", {"model": "nobody", "prompt": "x"}, {"x-request-id": "mine"})
    assert response.status == 404
    for prompt in ("a", "b"):
        assert complete(served.url, prompt)[0].status == 200
    assert record(served, "mine")["error"] == "unknown_model"
    assert record(served, "mine")["model"] == "(others)", "a name that leads nowhere is not kept"

    def listed(query):
        response, text = call(served.admin, "/admin/requests" + query)
        assert response.status == 200, text
        return json.loads(text)["requests"]
    assert [one["client_id"] for one in listed("?failed")] == ["mine"]
    times = [one["total_ms"] for one in listed("?slow")]
    assert len(times) >= 3 and times == sorted(times, reverse=True)
    assert len(listed("?limit=2")) == 2
    assert call(served.admin, "/admin/requests?limit=x")[0].status == 400
    response, text = call(served.admin, "/admin/requests/unknown")
    assert response.status == 404 and b"No request of this id" in text


def test_what_ends_before_it_has_a_route_has_a_record(served):
    response, _ = call(served.url, "/nowhere")
    told = record(served, response.getheader("x-request-id"))
    assert (told["status"], told["error"], told["attempts"]) == (404, "unknown_route", [])
    response, _ = call(served.url, "/health")
    assert record(served, response.getheader("x-request-id"))["path"] == "/health"


def test_a_decision_has_its_record_by_the_id_of_its_answer(served):
    question = {"type": "choice", "name": "q", "choices": [{"value": " a"}, {"value": " b"}]}
    response, text = call(served.url, "/v1/decisions", {"model": MODEL, "input": "x", "questions": [question]})
    assert response.status == 200, text
    told = record(served, response.getheader("x-request-id"))
    assert told["path"] == "/v1/decisions" and told["status"] == 200 and told["attempts"], told
    response, _ = call(served.url, "/v1/decisions", {"model": MODEL, "input": "x", "questions": [question]},
                       {"x-request-id": "mine"})
    assert response.getheader("x-request-id") == "mine" and record(served, "mine")["path"] == "/v1/decisions"


def test_requests_are_counted_by_model_and_bytes(served):
    for _ in range(3):
        assert complete(served.url, "x")[0].status == 200
    for number in range(5):
        assert complete(served.url, "x", model=f"invented {number}")[0].status == 404
    call(served.url, "/v1/completions", {"model": MODEL, "prompt": "x", "max_tokens": 5, "stream": True})

    def count(model, result):
        return served.metrics()[f'batchproxy_model_requests_finished_total{{model="{model}",result="{result}"}}']
    # The client has the end of its stream a moment before it is counted.
    wait_until(lambda: count(MODEL, "ok") == 4, "all are counted")
    metrics = served.metrics()
    assert (count(MODEL, "ok"), count("(others)", "client_error"), count("(others)", "ok")) == (4, 5, 0)
    assert served.status()["by_model"] == {MODEL: {"ok": 4}, "(others)": {"client_error": 5}}
    assert "invented" not in json.dumps(served.status())
    assert metrics["batchproxy_time_to_first_byte_seconds_count"] == 1
    assert metrics["batchproxy_received_bytes_total"] > 9 * 40
    assert metrics["batchproxy_sent_bytes_total"] > 9 * 200


def test_a_stream_tells_its_first_byte_and_its_bytes(served):
    response, text = call(served.url, "/v1/completions", {"model": MODEL, "prompt": "x", "max_tokens": 20, "stream": True})
    told = record(served, response.getheader("x-request-id"))
    assert told["stream"] and told["bytes_out"] > len(text)
    assert 0 < told["first_byte_ms"] < told["total_ms"]
    assert told["attempts"][0]["end"] == "200"


def test_a_client_that_leaves_is_recorded(start_proxy, scripted):
    has_left = []
    engine = scripted(lambda *_: [lambda: wait_until(lambda: has_left, "the client to have left"), None])
    proxy = start_proxy("--backend", engine.url).ready(1)
    client = proxy_client(proxy, "gone")
    wait_until(lambda: engine.requests, "the request")
    client.close()
    wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "its leaving")
    has_left.append(True)
    told = record(proxy, "gone")
    assert (told["status"], told["result"], told["bytes_out"]) == (0, "client_gone", 0)
    assert told["attempts"][0]["end"] == "aborted"


def proxy_client(proxy, request_id):
    client = socket.create_connection(("127.0.0.1", proxy.port))
    body = b'{"model": "m", "prompt": "x"}'
    client.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nx-request-id: %s\r\ncontent-length: %d\r\n\r\n%s"
                   % (request_id.encode(), len(body), body))
    return client


def test_the_access_log_has_a_line_for_each_request(start_proxy, start_engine, tmp_path):
    engine, log = start_engine(), tmp_path / "requests.log"
    proxy = start_proxy("--backend", engine.url, "--access-log", log).ready(1)
    before = len(lines_of(log))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: complete(proxy.url, f"secret {i}"), range(200)))
    wait_until(lambda: len([line for line in lines_of(log) if "/v1/completions" in line]) == 200, "200 lines")
    assert before <= len(lines_of(log))
    line = next(line for line in lines_of(log) if "/v1/completions" in line)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 200 ok POST /v1/completions id=bp\S+ model=\S+ "
                    r"queue_ms=\S+ first_byte_ms=\S+ total_ms=\S+ in=\d+ out=\d+ attempts=127.0.0.1:\d+:200", line), line
    assert "secret" not in log.read_text()
    assert proxy.metrics()["batchproxy_access_log_lost_total"] == 0


def test_the_access_log_follows_a_move_and_a_reload(start_proxy, start_engine, tmp_path):
    engine, log = start_engine(), tmp_path / "requests.log"
    settings = {"backends": [{"url": engine.url}], "access_log": {"file": str(log), "format": "json"}}
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"batchproxy": settings}))
    proxy = start_proxy("--config", config).ready(1)

    def ask(request_id):
        call(proxy.url, "/v1/completions", {"model": MODEL, "prompt": "x", "max_tokens": 1}, {"x-request-id": request_id})

    def named(path, request_id):
        return any(json.loads(line).get("client_id") == request_id for line in lines_of(path))
    ask("one")
    wait_until(lambda: named(log, "one"), "its line")
    os.rename(log, tmp_path / "old.log")

    def asked_again():
        ask("two")
        return named(log, "two")
    wait_until(asked_again, "the new file")
    assert named(tmp_path / "old.log", "one")

    settings["access_log"].update(which="failed", file=str(tmp_path / "failed.log"))
    config.write_text(json.dumps({"batchproxy": settings}))
    proxy.process.send_signal(signal.SIGHUP)
    wait_until((tmp_path / "failed.log").exists, "the other file")
    ask("good")
    call(proxy.url, "/nowhere", headers={"x-request-id": "bad"})
    wait_until(lambda: named(tmp_path / "failed.log", "bad"), "the line of what failed")
    assert not named(tmp_path / "failed.log", "good")


def test_an_access_log_that_stands_still_costs_lines_and_no_request(start_proxy, start_engine, tmp_path):
    engine, log = start_engine(), tmp_path / "requests.pipe"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    try:
        proxy = start_proxy("--backend", engine.url, "--access-log", log, "--io-threads", "1").ready(1)

        def fill():
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                assert all(status == 200 for status in pool.map(
                    lambda _: call(proxy.url, "/health")[0].status, range(500)))
            return proxy.metrics()["batchproxy_access_log_lost_total"] > 0
        wait_until(fill, "lost lines")
        proxy.stop()
    finally:
        os.close(reader)
    assert any("loses lines" in line for line in proxy.errors), proxy.output()


def test_the_log_of_a_file_that_cannot_be_opened_says_so(start_proxy, start_engine, tmp_path):
    proxy = start_proxy("--backend", start_engine().url, "--access-log", tmp_path / "none" / "x.log").ready(1)
    wait_until(lambda: "No such file" in proxy.output(), "the reason")
    assert complete(proxy.url, "x")[0].status == 200


def test_a_traceparent_goes_on_with_a_span_of_ours(start_proxy, scripted):
    engine = scripted(lambda *_: answer())
    proxy = start_proxy("--backend", engine.url).ready(1)
    body = {"model": "m", "prompt": "x"}
    response, _ = call(proxy.url, "/v1/completions", body, {"traceparent": PARENT, "tracestate": "v=1"})
    told = record(proxy, response.getheader("x-request-id"))
    assert (told["trace_id"], told["parent_span_id"]) == (PARENT[3:35], PARENT[36:52])
    sent = engine.requests[-1].partition(b"\r\n\r\n")[0].decode().lower()
    attempt = told["attempts"][0]["span_id"]
    assert f"traceparent: 00-{PARENT[3:35]}-{attempt}-01\r\n" in sent and "tracestate: v=1" in sent
    assert attempt not in (told["span_id"], told["parent_span_id"])
    assert sent.count("traceparent") == 1

    call(proxy.url, "/v1/completions", body, {"traceparent": "broken"})
    assert b"traceparent: broken" in engine.requests[-1].lower()


def test_requests_of_different_traces_share_a_call(start_proxy, tmp_path, list_engine):  # noqa: F811
    proxy = start(start_proxy, tmp_path, [list_engine()], merge="always", flush="fixed", batch_size=2, batch_timeout=30)

    def one(number):
        headers = {"traceparent": PARENT[:-4] + f"{number}-01"}
        return call(proxy.url, "/v1/completions", {"model": "m", "prompt": f"p{number}", "max_tokens": 1}, headers)[0]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert [response.status for response in pool.map(one, (1, 2))] == [200, 200]
    assert proxy.metrics()["batchproxy_merged_calls_total"] == 1
