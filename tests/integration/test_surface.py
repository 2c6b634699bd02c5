"""The whole surface: every endpoint answers through the proxy as it does without, and nothing is re-written."""
import base64
import contextlib
import gzip
import http.client
import json
import re
import socket
import struct
import threading

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

CONVERSATION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Größe?\nA. x\nB. y"}]
TEXTS = ["DNA repair", "the harbour of Hamburg"]
ENDPOINTS = {
    "completion": ("/v1/completions", {"prompt": "once upon a time", "max_tokens": 9}),
    "list": ("/v1/completions", {"prompt": TEXTS, "n": 2, "max_tokens": 5, "stop": ["zz"], "logprobs": 2}),
    "token-ids": ("/v1/completions", {"prompt": [[72, 105], [72]], "max_tokens": 3, "return_token_ids": True}),
    "scored": ("/v1/completions", {"prompt": TEXTS, "max_tokens": 0, "echo": True, "logprobs": 1}),
    "streamed": ("/v1/completions", {"prompt": "once", "max_tokens": 6, "stream": True,
                                     "stream_options": {"include_usage": True}}),
    "chat": ("/v1/chat/completions", {"messages": CONVERSATION, "max_tokens": 4, "logprobs": True,
                                      "top_logprobs": 2, "return_token_ids": True}),
    "streamed-chat": ("/v1/chat/completions", {"messages": CONVERSATION, "max_tokens": 4, "stream": True}),
    "chat-batch": ("/v1/chat/completions/batch", {"messages": [CONVERSATION, CONVERSATION[1:]], "max_tokens": 4}),
    "tokenize": ("/tokenize", {"prompt": "Größe: 3 µm", "return_token_strs": True}),
    "tokenize-chat": ("/tokenize", {"messages": CONVERSATION}),
    "detokenize": ("/detokenize", {"tokens": [72, 105]}),
    "tokenizer-info": ("/tokenizer_info", None),
}
POOLED = {
    "embedding": ("/v1/embeddings", {"input": TEXTS}),
    "embedding-base64": ("/v1/embeddings", {"input": [[72, 105], [72]], "encoding_format": "base64"}),
    "pooling": ("/pooling", {"input": "DNA"}),
    "classify": ("/classify", {"input": TEXTS}),
    "score": ("/score", {"queries": "how is DNA repaired?", "documents": TEXTS}),
    "rerank": ("/rerank", {"query": "how is DNA repaired?", "documents": TEXTS, "top_n": 1}),
}


@pytest.fixture
def pooled(serve):
    """A proxy in front of an engine that embeds and scores."""
    return serve("--runner", "pooling")


@pytest.fixture
def scripted(start_proxy):
    """scripted(script) -> a proxy in front of a backend that shows the bytes it was sent."""
    backends = []

    def start(script=lambda *_: answer()):
        backend = ScriptedEngine(script)
        backends.append(backend)
        proxy = start_proxy("--backend", backend.url).ready(1)
        proxy.backend = backend
        return proxy

    yield start
    for backend in backends:
        backend.close()


def without_ids_and_times(text):
    text = re.sub(rb'"id":"(\w+)-[^"]*"', rb'"id":"\1-"', text)
    return re.sub(rb'"created":\d+', b'"created":0', text)


def head_of(request):
    """The fields of a request that a backend has received, by name in lower case."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def body_of(request):
    return request.partition(b"\r\n\r\n")[2]


def raw(proxy, request):
    """Sends bytes as they are; everything that comes back until the proxy closes."""
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(request)
        data = b""
        while more := connection.recv(65536):
            data += more
        return data


def http10(body, *fields):
    lines = ["POST /v1/completions HTTP/1.0", "Content-Type: application/json", f"Content-Length: {len(body)}",
             *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# --- every endpoint ---------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_answer_is_the_one_of_a_direct_call(serve, name):
    assert_equal(serve("--enable-tokenizer-info-endpoint"), *ENDPOINTS[name])


@pytest.mark.parametrize("name", POOLED)
def test_so_is_that_of_a_model_that_embeds(pooled, name):
    assert_equal(pooled, *POOLED[name])


def assert_equal(served, path, body):
    direct, expected = call(served.engine.url, path, body and {"model": MODEL, **body})
    response, text = call(served.url, path, body and {"model": MODEL, **body})
    assert direct.status == response.status == 200, text
    assert without_ids_and_times(text) == without_ids_and_times(expected)
    assert response.headers["content-type"] == direct.headers["content-type"]
    assert response.headers["x-batchproxy-backend"] == served.engine.url.removeprefix("http://")


def test_the_two_formats_of_an_embedding_hold_the_same_vector(pooled):
    def embedding(**fields):
        return json.loads(call(pooled.url, "/v1/embeddings", {"input": "DNA", **fields})[1])["data"][0]["embedding"]
    packed = base64.b64decode(embedding(encoding_format="base64"))
    assert list(struct.unpack(f"<{len(packed) // 4}f", packed)) == pytest.approx(embedding(), rel=1e-6)


def test_ranking_finds_the_document_that_answers(pooled):
    _, body = POOLED["rerank"]
    results = json.loads(call(pooled.url, "/rerank", body)[1])["results"]
    assert [result["index"] for result in results] == [0]


# --- bytes ------------------------------------------------------------------------------------------

def test_a_compressed_body_passes_unchanged(scripted):
    proxy = scripted()
    body = gzip.compress(json.dumps({"model": "m", "prompt": "hello"}).encode())
    response, _ = call(proxy.url, "/v1/completions", body, {"Content-Encoding": "gzip"})
    assert response.status == 200
    request = proxy.backend.requests[0]
    assert body_of(request) == body and head_of(request)["content-encoding"] == "gzip"


@pytest.mark.parametrize("path, body", [
    ("/v1/completions", rb'{"model":"m","prompt":"caf\ud835 \udc00 \u00e9"}'),
    ("/v1/completions", rb'{"model":"m","prompt":["\udfff","x\ud800"]}'),
    ("/v1/chat/completions", rb'{"model":"m","messages":[{"role":"user","content":"\ud835"}]}'),
    ("/v1/embeddings", rb'{"model":"m","input":"\ud835"}')])
def test_lone_surrogates_pass_byte_for_byte(scripted, path, body):
    reply = rb'{"choices":[{"index":0,"text":"\ud835"},{"index":1,"text":"\udfff"}]}'
    proxy = scripted(lambda *_: answer(reply))
    response, text = call(proxy.url, path, body)
    assert response.status == 200 and text == reply
    assert body_of(proxy.backend.requests[0]) == body


def test_fields_that_are_not_ours_pass_byte_for_byte(scripted):
    proxy = scripted()
    body = (b'{"priority": -5, "cache_salt" :"s", "model":"m","prompt":"x", "guided_choice":["A","B"],'
            b' "extra": {"deep": [1.0, 1e2, null, "\\/"]}, "seed": 18446744073709551615, "priority":-5 }')
    assert call(proxy.url, "/v1/completions", body)[0].status == 200
    assert body_of(proxy.backend.requests[0]) == body


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_the_encoding_of_an_answer_is_the_clients_and_the_backends_business(scripted, encoding):
    packed = gzip.compress(b'{"choices":[]}')
    proxy = scripted(lambda *_: answer(packed, extra=b"content-encoding: %s\r\n" % encoding.encode()))
    response, text = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"},
                          {"Accept-Encoding": f"{encoding}, identity;q=0.5"})
    assert response.headers["content-encoding"] == encoding and text == packed
    assert head_of(proxy.backend.requests[0])["accept-encoding"] == f"{encoding}, identity;q=0.5"


def test_an_unasked_encoding_is_not_asked_for(scripted):
    proxy = scripted()
    request = b'{"model":"m","prompt":"x"}'
    raw(proxy, b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(request), request))
    assert "accept-encoding" not in head_of(proxy.backend.requests[0])


# --- header fields ----------------------------------------------------------------------------------

READ_BY_VLLM = {"X-Vllm-Priority": "-3", "X-Session-ID": "s1", "X-data-parallel-rank": "1", "baggage": "a=b",
                "endpoint-load-metrics-format": "JSON", "anthropic-version": "2023-06-01", "anthropic-beta": "x"}
READ_BY_CLIENTS = {"metadata": '{"shape": [2]}', "location": "/elsewhere", "endpoint-load-metrics": "JSON {}",
                   "x-ratelimit-remaining-tokens": "9", "openai-processing-ms": "12", "x-inference-pod": "pod-1"}
KEPT = {"X-Mine": "1", "Cookie": "a=b", "Forwarded": "for=x"}


@pytest.mark.parametrize("stream", [False, True])
def test_fields_that_the_other_side_reads_pass_and_others_do_not(scripted, stream):
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**READ_BY_CLIENTS, **KEPT}.items()).encode()
    reply = answer(extra=lines)
    if stream:
        reply = answer(b"data: [DONE]\n\n", extra=lines).replace(b"application/json", b"text/event-stream")
    proxy = scripted(lambda *_: reply)
    response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x", "stream": stream},
                       {**READ_BY_VLLM, **KEPT})
    sent = head_of(proxy.backend.requests[0])
    assert response.status == 200
    assert {name: sent.get(name.lower()) for name in READ_BY_VLLM} == READ_BY_VLLM
    assert {name: response.headers[name] for name in READ_BY_CLIENTS} == READ_BY_CLIENTS
    assert not any(name.lower() in sent or name in response.headers for name in KEPT)


def test_configured_fields_pass_in_both_directions(start_proxy, tmp_path):
    backend = ScriptedEngine(lambda *_: answer(extra=b"x-mine: 2\r\nSet-Cookie: c=d\r\n"))
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{backends: [{{url: '{backend.url}'}}], "
                                     "pass_headers: [X-Mine, set-cookie, content-type]}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"}, KEPT)
    assert head_of(backend.requests[0])["x-mine"] == "1" and "cookie" not in head_of(backend.requests[0])
    assert response.headers["x-mine"] == "2" and response.headers["set-cookie"] == "c=d"
    assert response.headers.get_all("content-type") == ["application/json"]
    backend.close()


@pytest.mark.parametrize("given, seen", [
    ({"X-Api-Key": "mine"}, (None, "mine")),
    ({"X-Api-Key": "mine", "Authorization": "Bearer other"}, ("Bearer other", None))])
@pytest.mark.parametrize("guarded", [False, True])
def test_anthropics_key_field_counts_where_there_is_no_authorization(start_proxy, tmp_path, given, seen, guarded):
    backend = ScriptedEngine(lambda *_: answer())
    own = ", api_key: theirs" if guarded else ""
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{backends: [{{url: '{backend.url}'{own}}}]}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    assert call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"}, given)[0].status == 200
    sent = head_of(backend.requests[0])
    expected = ("Bearer theirs", None) if guarded else seen
    assert (sent.get("authorization"), sent.get("x-api-key")) == expected
    backend.close()


def test_a_key_of_ours_may_come_in_x_api_key_and_goes_no_further(start_proxy):
    backend = ScriptedEngine(lambda *_: answer())
    key = "a-key-of-sixteen-characters"
    proxy = start_proxy("--backend", backend.url, env={"BATCHPROXY_API_KEYS": f"mine {key}"}).ready(1)
    body = {"model": "m", "prompt": "x"}
    assert call(proxy.url, "/v1/completions", body, {"X-Api-Key": key})[0].status == 200
    assert key not in backend.requests[0].decode()
    assert call(proxy.url, "/v1/completions", body, {"X-Api-Key": key + "x"})[0].status == 401
    assert call(proxy.url, "/v1/completions", body, {"X-Api-Key": key, "Authorization": "Bearer no"})[0].status == 401
    backend.close()


# --- who asks ---------------------------------------------------------------------------------------

def test_the_clients_request_id_comes_back_and_the_backend_gets_a_fresh_one(scripted):
    proxy = scripted()
    for _ in range(2):
        response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"}, {"X-Request-Id": "job-7"})
        assert response.headers["x-request-id"] == "job-7"
    sent = [head_of(request)["x-request-id"] for request in proxy.backend.requests]
    assert all(one.startswith("job-7-") for one in sent) and sent[0] != sent[1]


@pytest.mark.parametrize("given, taken", [
    ("urn:job:7/a=b", True), ("x" * 128, True), ("x" * 129, False), ("two words", False), ("caf\xe9", False)])
def test_a_request_id_may_be_up_to_128_visible_characters(scripted, given, taken):
    response, _ = call(scripted().url, "/v1/completions", {"model": "m", "prompt": "x"}, {"X-Request-Id": given})
    assert (response.headers["x-request-id"] == given) == taken


def test_the_ids_that_engines_see_are_all_of_one_length(scripted):
    proxy = scripted()
    for _ in range(18):
        call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"})
    assert len({len(head_of(request)["x-request-id"]) for request in proxy.backend.requests}) == 1


def test_events_whose_lines_end_in_cr_alone_are_relayed_as_they_come(scripted):
    came = threading.Event()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    proxy = scripted(lambda *_: [head + b"data: 1\r\r", lambda: came.wait(DEADLINE), b"data: [DONE]\r\r", None])
    connection = http.client.HTTPConnection(proxy.address, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/completions", json.dumps({"model": "m", "prompt": "x", "stream": True}))
        response = connection.getresponse()
        assert response.read(9) == b"data: 1\r\r"  # before the engine says more
        came.set()
        assert response.read() == b"data: [DONE]\r\r"


def test_every_attempt_has_an_id_of_its_own(scripted):
    # vLLM refuses an id that is still running, and the first attempt may be.
    proxy = scripted(lambda number, *_: None if number == 1 else answer())
    response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"}, {"X-Request-Id": "job-8"})
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"
    first, second = (head_of(request)["x-request-id"] for request in proxy.backend.requests)
    assert first != second


@pytest.mark.parametrize("field, expected", [
    ("", "Bearer mine"), (", api_key: theirs", "Bearer theirs")])
def test_a_backends_key_replaces_the_clients(scripted, start_proxy, tmp_path, field, expected):
    backend = ScriptedEngine(lambda *_: answer())
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{backends: [{{url: '{backend.url}'{field}}}]}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"}, {"Authorization": "Bearer mine"})
    assert head_of(backend.requests[0])["authorization"] == expected
    backend.close()


def test_a_guarded_engine_is_reached_with_its_key(start_proxy, start_engine, tmp_path):
    engine = start_engine("--api-key", "secret")
    assert complete(engine.url, "x")[0].status == 401
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{backends: [{{url: '{engine.url}', api_key: secret}}]}}\n")
    assert complete(start_proxy("--config", tmp_path / "c.yaml").ready(1).url, "x")[0].status == 200


# --- HTTP/1.0 ---------------------------------------------------------------------------------------

def test_an_http10_client_gets_one_whole_answer(served):
    body = json.dumps({"model": MODEL, "prompt": "x", "max_tokens": 3}).encode()
    head, _, text = raw(served, http10(body)).partition(b"\r\n\r\n")
    assert b"connection: close" in head and b"transfer-encoding" not in head
    assert b"content-length: %d" % len(text) in head and json.loads(text)["usage"]["completion_tokens"] == 3


def test_an_http10_client_may_keep_its_connection(served):
    body = json.dumps({"model": MODEL, "prompt": "x", "max_tokens": 3}).encode()
    kept = http10(body, "Connection: keep-alive")
    replies = raw(served, kept + kept + http10(body))
    assert replies.count(b"HTTP/1.1 200") == 3 and replies.count(b"connection: keep-alive") == 2


@pytest.mark.parametrize("fields", [[], ["Connection: keep-alive"]])
def test_a_stream_to_http10_ends_with_the_connection_and_is_not_chunked(served, fields):
    body = json.dumps({"model": MODEL, "prompt": "x", "max_tokens": 5, "stream": True}).encode()
    head, _, text = raw(served, http10(body, *fields)).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head and b"content-length" not in head and b"connection: close" in head
    assert text.startswith(b"data: {") and text.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("settings", [
    {"batchproxy": {"backends": [{"url": "URL", "api_key": "k"}]}},
    {"generator_settings": {"api_key": "k"}, "batchproxy": {"backends": [{"url": "URL"}]}}])
def test_a_configured_key_opens_the_engine_to_every_client(start_proxy, start_engine, tmp_path, settings):
    engine = start_engine("--api-key", "k")
    (tmp_path / "k.yaml").write_text(json.dumps(settings).replace("URL", engine.url))
    proxy = start_proxy("--config", tmp_path / "k.yaml").ready(1)
    assert complete(proxy.url, "hello")[0].status == 200
    assert MODEL in call(proxy.url, "/v1/models")[1].decode()


def test_without_one_each_client_needs_the_engines_key(start_proxy, start_engine):
    engine = start_engine("--api-key", "k")
    proxy = start_proxy("--backend", engine.url).ready(1)
    proxy.wait_for_line("serve whatever is asked for")
    body = {"model": MODEL, "prompt": "hello", "max_tokens": 1}
    asked = {key: call(proxy.url, "/v1/completions", body, {"Authorization": key})[0].status
             for key in ("Bearer k", "Bearer wrong", "")}
    assert asked == {"Bearer k": 200, "Bearer wrong": 401, "": 401}
    wait_until(lambda: any("asks for an API key" in line for line in proxy.lines + proxy.errors), "why the others were refused")


def test_a_model_that_was_loaded_a_moment_ago_is_found(scripted):
    proxy = scripted()
    proxy.backend.models = b'{"object":"list","data":[{"id":"m"},{"id":"lora"}]}'
    assert call(proxy.url, "/v1/completions", {"model": "lora", "prompt": "x"})[0].status == 200
    response, body = call(proxy.url, "/v1/completions", {"model": "nobody's", "prompt": "x"})
    assert response.status == 404 and json.loads(body)["error"]["code"] == "unknown_model"
