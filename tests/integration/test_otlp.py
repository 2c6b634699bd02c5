"""Traces for an OpenTelemetry collector: what it is sent, and that one that is away, slow or refuses costs no request."""
import concurrent.futures
import json
import signal
import subprocess
import threading
import time

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import PROXY
from tests.support.collector import Collector, attributes
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

from .test_shared_calls import ask_all, list_engine, start  # noqa: F401 (a fixture)
from .test_tls import make_certificate
from .test_tracing import PARENT, record

BODY = {"model": "m", "prompt": "secret words"}


@pytest.fixture
def collector():
    """collector(**how): a Collector."""
    made = []

    def make(**how):
        made.append(Collector(**how))
        return made[-1]

    yield make
    for one in made:
        one.close()


def spans_of(collector, request_id, count):
    """The span of a request, and those of its attempts, once there are so many."""
    def found():
        spans = collector.spans()
        own = [span for span in spans if attributes(span).get("batchproxy.request.id") == request_id]
        attempts = [span for span in spans if own and span.get("parentSpanId") == own[0]["spanId"]]
        return (own[0], attempts) if own and len(attempts) == count else None
    return wait_until(found, f"the spans of {request_id} in {collector.spans()}")


def exported(proxy):
    metrics = proxy.metrics()
    return metrics["batchproxy_traces_sent_total"], metrics["batchproxy_traces_dropped_total"]


def test_a_request_has_a_span_and_so_has_each_attempt(start_proxy, scripted, collector):
    taker = collector()
    broken, well = scripted(lambda *_: None), scripted(lambda *_: answer())
    proxy = start_proxy("--backend", broken.url, "--backend", well.url, "--otlp-endpoint", taker.url).ready(2)

    def retried():
        response, _ = call(proxy.url, "/v1/completions", BODY, {"traceparent": PARENT, "x-request-id": "mine"})
        return response if response.getheader("x-batchproxy-attempts") == "2" else None
    next(found for found in (retried() for _ in range(20)) if found)

    told = record(proxy, "mine")
    request, attempts = spans_of(taker, told["id"], 2)
    assert (request["traceId"], request["parentSpanId"], request["kind"]) == (PARENT[3:35], PARENT[36:52], 2)
    assert (request["name"], request["spanId"]) == ("POST /v1/completions", told["span_id"])
    seen = attributes(request)
    assert seen["gen_ai.operation.name"] == "text_completion" and seen["gen_ai.request.model"] == "m"
    assert seen["http.response.status_code"] == 200 and seen["batchproxy.request.client_id"] == "mine"
    first, second = sorted(attempts, key=lambda span: int(span["startTimeUnixNano"]))
    assert (first["kind"], first["name"]) == (3, "text_completion m")
    assert attributes(first)["error.type"] == "reset" and first["status"]["code"] == 2
    assert attributes(first)["server.port"] == broken.port and attributes(second)["server.port"] == well.port
    assert "status" not in second and attributes(second)["http.response.status_code"] == 200
    assert int(request["startTimeUnixNano"]) <= int(first["startTimeUnixNano"]) <= int(first["endTimeUnixNano"])
    assert int(second["endTimeUnixNano"]) <= int(request["endTimeUnixNano"])
    # What each engine was given hangs under the attempt.
    for engine, span in ((broken, first), (well, second)):
        assert f"traceparent: 00-{PARENT[3:35]}-{span['spanId']}-01\r\n".encode() in engine.requests[-1].lower()
    assert [one["span_id"] for one in told["attempts"]] == [first["spanId"], second["spanId"]]
    path, fields, body = taker.requests[-1]
    assert path == "/v1/traces" and fields["content-type"] == "application/json" and b"secret" not in body
    assert taker.resources()[-1]["service.name"] == "batchproxy"
    wait_until(lambda: exported(proxy)[0] >= 1, "the count")
    assert exported(proxy)[1] == 0


def test_a_trace_begins_here_where_the_client_has_none(start_proxy, scripted, collector):
    taker, engine = collector(), scripted(lambda *_: answer())
    proxy = start_proxy("--backend", engine.url, "--otlp-endpoint", taker.url + "/").ready(1)
    response, _ = call(proxy.url, "/v1/completions", BODY)
    request, (attempt,) = spans_of(taker, response.getheader("x-request-id"), 1)
    assert "parentSpanId" not in request
    assert f"traceparent: 00-{request['traceId']}-{attempt['spanId']}-01\r\n".encode() in engine.requests[-1].lower()
    told = record(proxy, response.getheader("x-request-id"))
    assert told["trace_id"] == request["traceId"] and "parent_span_id" not in told
    # One that its client does not want kept, and one whose trace is none of ours to read.
    call(proxy.url, "/v1/completions", BODY, {"traceparent": PARENT[:-1] + "0", "x-request-id": "unkept"})
    call(proxy.url, "/v1/completions", BODY, {"traceparent": "broken", "x-request-id": "broken"})
    assert engine.requests[-1].lower().count(b"traceparent") == 1
    response, _ = call(proxy.url, "/v1/completions", BODY)
    spans_of(taker, response.getheader("x-request-id"), 1)
    kept = {attributes(span).get("batchproxy.request.client_id") for span in taker.spans()}
    assert not kept & {"unkept", "broken"}


def test_members_of_a_merged_call_have_a_span_each(start_proxy, tmp_path, list_engine, collector):  # noqa: F811
    taker = collector()
    proxy = start(start_proxy, tmp_path, [list_engine()], merge="always", flush="fixed", batch_size=4, batch_timeout=30,
                  tracing={"otlp_endpoint": taker.url})
    ids = [response.getheader("x-request-id") for response, _ in ask_all(proxy, ["a", "b", "c", "d"])]
    found = [spans_of(taker, one, 1) for one in ids]
    assert len({request["traceId"] for request, _ in found}) == 4
    merged = [attributes(attempt) for _, (attempt,) in found]
    assert [one["batchproxy.merged.members"] for one in merged] == [4] * 4
    assert {one["batchproxy.merged.leader"] for one in merged} <= set(ids)


def test_without_a_collector_there_are_no_traces(start_proxy, scripted):
    engine = scripted(lambda *_: answer())
    proxy = start_proxy("--backend", engine.url).ready(1)
    response, _ = call(proxy.url, "/v1/completions", BODY)
    assert "trace_id" not in record(proxy, response.getheader("x-request-id"))
    assert b"traceparent" not in engine.requests[-1].lower()
    assert exported(proxy) == (0, 0)


def test_headers_name_and_sample_are_as_configured(start_proxy, start_engine, collector, tmp_path):
    taker = collector()
    config = tmp_path / "c.yaml"
    tracing = {"otlp_endpoint": taker.url + "/collect", "otlp_headers": ["x-api-key=very%20secret"], "service_name": "front"}
    settings = {"backends": [{"url": start_engine().url}], "tracing": tracing}

    def write():
        config.write_text(json.dumps({"batchproxy": settings}))
    write()
    proxy = start_proxy("--config", config).ready(1)
    complete(proxy.url, "x")
    wait_until(lambda: any(span["name"] == "POST /v1/completions" for span in taker.spans()), "its span")
    path, fields, _ = taker.requests[-1]
    assert (path, fields["x-api-key"]) == ("/collect/v1/traces", "very secret")
    assert taker.resources()[-1]["service.name"] == "front"
    shown = subprocess.run([PROXY, "check", "--show-effective", config], capture_output=True, text=True, timeout=DEADLINE)
    assert "otlp_headers" in shown.stdout and "secret" not in shown.stdout + shown.stderr, shown
    # A reload applies all of it; none of the requests are traced any more.
    tracing["sample"] = 0
    write()
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("tracing.sample: 1 -> 0" in line for line in proxy.errors), "the reload")
    wait_until(lambda: "trace_id" not in record(proxy, complete(proxy.url, "x")[0].getheader("x-request-id")), "no trace")


def test_the_variables_of_opentelemetry_are_understood(start_proxy, start_engine, collector):
    taker = collector()
    proxy = start_proxy("--backend", start_engine().url,
                        env={"OTEL_EXPORTER_OTLP_ENDPOINT": taker.url, "OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=2",
                             "OTEL_SERVICE_NAME": "named"}).ready(1)
    complete(proxy.url, "x")
    wait_until(taker.resources, "a span")
    assert taker.resources()[-1]["service.name"] == "named"
    assert (taker.requests[-1][1]["a"], taker.requests[-1][1]["b"]) == ("1", "2")


def test_a_collector_behind_tls(start_proxy, start_engine, collector, tmp_path):
    files = make_certificate(tmp_path / "own")
    taker = collector(tls=files)
    config = tmp_path / "c.yaml"
    settings = {"backends": [{"url": start_engine().url}],
                "tracing": {"otlp_endpoint": taker.url, "otlp_ca_file": str(files[0])}}
    config.write_text(json.dumps({"batchproxy": settings}))
    proxy = start_proxy("--config", config).ready(1)
    complete(proxy.url, "x")
    wait_until(taker.spans, "a span")
    # One that is not trusted is told.
    del settings["tracing"]["otlp_ca_file"]
    config.write_text(json.dumps({"batchproxy": settings}))
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("reload" in line and "otlp_ca_file" in line for line in proxy.errors), "the reload")
    complete(proxy.url, "x")
    wait_until(lambda: any("traces do not get to" in line and "self-signed" in line for line in proxy.errors), "the reason")


def test_a_collector_that_says_not_now_is_asked_again(start_proxy, start_engine, collector):
    taker = collector(answers=[(429, {"Retry-After": "0"}), (503, {})])
    proxy = start_proxy("--backend", start_engine().url, "--otlp-endpoint", taker.url).ready(1)
    response, _ = complete(proxy.url, "x")
    spans_of(taker, response.getheader("x-request-id"), 1)
    assert len(taker.requests) >= 3
    wait_until(lambda: exported(proxy)[0] >= 1, "the count")
    assert exported(proxy)[1] == 0
    wait_until(lambda: any("it answers 429" in line for line in proxy.errors), f"the reason in {proxy.errors}")


def test_what_a_collector_refuses_is_dropped_and_counted(start_proxy, start_engine, collector):
    taker = collector(answers=[(400, {}) for _ in range(3)])
    proxy = start_proxy("--backend", start_engine().url, "--otlp-endpoint", taker.url).ready(1)
    complete(proxy.url, "x")
    wait_until(lambda: exported(proxy)[1] >= 1, "the count")
    wait_until(lambda: any("it answers 400" in line for line in proxy.errors), f"the reason in {proxy.errors}")


def test_a_collector_that_refuses_some_is_told(start_proxy, start_engine, collector):
    refusal = json.dumps({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too long ago"}})
    taker = collector(answers=[(200, {"body": refusal})])
    proxy = start_proxy("--backend", start_engine().url, "--otlp-endpoint", taker.url).ready(1)
    complete(proxy.url, "x")
    wait_until(lambda: any("it refused 2 spans: too long ago" in line for line in proxy.errors), "the reason")


def test_a_collector_that_is_away_costs_nothing_and_is_found_when_it_comes(start_proxy, start_engine, collector):
    taker = collector(listens=False)
    proxy = start_proxy("--backend", start_engine().url, "--otlp-endpoint", taker.url).ready(1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(response.status == 200 for response, _ in pool.map(lambda i: complete(proxy.url, f"p{i}"), range(40)))
    wait_until(lambda: any("traces do not get to" in line and "refused" in line for line in proxy.errors), "the reason")
    assert sum("traces do not get to" in line for line in proxy.errors) == 1, "once a minute"
    taker.listen()
    wait_until(lambda: sum(span["name"] == "POST /v1/completions" for span in taker.spans()) == 40, "all of them")


def test_a_collector_that_is_slow_delays_no_request(start_proxy, start_engine, collector):
    gate = threading.Event()

    def slow():
        gate.wait(DEADLINE)
        return 200, {}
    taker = collector(answers=[slow] * 3)
    proxy = start_proxy("--backend", start_engine().url, "--otlp-endpoint", taker.url).ready(1)
    complete(proxy.url, "x")
    wait_until(lambda: taker.requests, "the first batch")
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(response.status == 200 for response, _ in pool.map(lambda i: complete(proxy.url, f"p{i}"), range(40)))
    assert not gate.is_set() and time.monotonic() - began < DEADLINE
    gate.set()
    wait_until(lambda: sum(span["name"] == "POST /v1/completions" for span in taker.spans()) == 41, "all of them")


def test_the_last_spans_are_sent_at_the_end_and_a_dead_collector_keeps_nobody(start_proxy, start_engine, collector):
    engine, taker = start_engine(), collector()
    named = taker.url.replace("127.0.0.1", "localhost")
    proxy = start_proxy("--backend", engine.url, "--otlp-endpoint", named).ready(1)
    response, _ = complete(proxy.url, "x", model=MODEL)
    assert proxy.stop() == 0
    spans_of(taker, response.getheader("x-request-id"), 1)

    over = threading.Event()
    hangs = collector(answers=[lambda: (over.wait(DEADLINE), (200, {}))[1]] * 9)
    proxy = start_proxy("--backend", engine.url, "--otlp-endpoint", hangs.url).ready(1)
    complete(proxy.url, "x")
    began = time.monotonic()
    assert proxy.stop() == 0
    assert time.monotonic() - began < DEADLINE / 2
    over.set()


@pytest.mark.parametrize("flags, says", [
    (["--otlp-endpoint", "localhost:4318"], "otlp_endpoint: expected http://HOST:PORT"),
    (["--otlp-endpoint", "http://user@a:1"], "otlp_endpoint: no user or password in the URL; set otlp_headers"),
    (["--otlp-header", "nothing"], "otlp_headers: number 1 is not NAME=VALUE")])
def test_a_collector_that_cannot_be_is_told_at_the_start(tmp_path, flags, says):
    ended = subprocess.run([PROXY, "--backend", "http://127.0.0.1:9", *flags], cwd=tmp_path, capture_output=True, text=True,
                           timeout=DEADLINE)
    assert ended.returncode == 2 and says in ended.stderr, ended.stderr
