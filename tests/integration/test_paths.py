"""What is served at which path, what is said at the others, and what needs no slot of an engine."""
import http.client
import json
import threading

import pytest

from tests.support.asking import call
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

JSON_PATHS = [
    "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/audio/speech", "/v2/embed", "/v1/systemone",
    "/v1/decisions", "/generative_scoring", "/inference/v1/generate", "/v1/completions/render",
    "/v1/chat/completions/render", "/v1/messages/render", "/v1/responses/render", "/invocations"]
TOKEN_CALLS = [("/tokenize", b'{"model":"m","prompt":"x"}'), ("/detokenize", b'{"model":"m","tokens":[1]}'),
               ("/v1/messages/count_tokens", b'{"model":"m","messages":[]}'),
               ("/v1/chat/completions/render", b'{"model":"m","messages":[]}'), ("/tokenizer_info", None)]


@pytest.fixture
def scripted(start_proxy, tmp_path):
    """scripted(script, **keys): a proxy in front of a backend with two slots that does as it is told."""
    backends = []

    def start(script, **keys):
        backend = ScriptedEngine(script)
        backends.append(backend)
        config = tmp_path / "proxy.yaml"
        entries = [{"url": backend.url, "max_num_seqs": 2}]
        batch_timeout = keys.pop("batch_timeout", 0.5)
        config.write_text(json.dumps({"batch_timeout": batch_timeout, "batchproxy": {"backends": entries, **keys}}))
        proxy = start_proxy("--config", config).ready(1)
        proxy.backend = backend
        return proxy

    yield start
    for backend in backends:
        backend.close()


def message(text):
    return json.loads(text)["error"]["message"]


def server_load(proxy):
    return json.loads(call(proxy.url, "/load")[1])["server_load"]


def test_every_json_call_passes_byte_for_byte(scripted):
    proxy = scripted(lambda *_: answer(b'["as it is"]'))
    for path in JSON_PATHS:
        body = b'{ "model":"m", "input":"h\\u00e9", "messages":[{"role":"user"}], "state":{"a":1.0} }'
        response, text = call(proxy.url, path, body)
        assert (response.status, text) == (200, b'["as it is"]'), path
        sent = proxy.backend.requests[-1]
        assert sent.startswith(b"POST %s HTTP/1.1\r\n" % path.encode()) and sent.endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_a_form_passes_byte_for_byte(scripted, path):
    proxy = scripted(lambda *_: answer(b'{"text":"hello"}'))
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff{[\r\n--x--\r\n'
    response, _ = call(proxy.url, path, form, {"Content-Type": "multipart/form-data; boundary=x"})
    assert response.status == 200
    assert proxy.backend.requests[-1].endswith(b"\r\n\r\n" + form)
    assert b"multipart/form-data; boundary=x\r\n" in proxy.backend.requests[-1]


def form(**fields):
    """The arguments of call() for a form with a file, and then these fields."""
    parts = ['form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'] + [
        f'form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    body = "".join(f"--x\r\nContent-Disposition: {part}\r\n" for part in parts) + "--x--\r\n"
    return body.encode(), {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_a_form_goes_to_the_engines_of_its_model(start_proxy, path):
    engines = {model: ScriptedEngine(lambda *_: answer(b'{"text":"hello"}')) for model in ("talks", "hears")}
    for model, engine in engines.items():
        engine.models = json.dumps({"object": "list", "data": [{"id": model, "object": "model"}]}).encode()
    proxy = start_proxy(*(flag for engine in engines.values() for flag in ("--backend", engine.url))).ready(2)
    for _ in range(4):
        assert call(proxy.url, path, *form(model="hears"))[0].status == 200
    assert (len(engines["hears"].requests), len(engines["talks"].requests)) == (4, 0)
    assert engines["hears"].requests[0].endswith(b"\r\n\r\n" + form(model="hears")[0])
    response, text = call(proxy.url, path, *form(model="other"))
    assert response.status == 404 and "talks" in message(text)
    assert call(proxy.url, path, *form())[0].status == 200  # who names none may be served by anyone
    for engine in engines.values():
        engine.close()


def test_a_form_that_asks_for_a_stream_gets_its_events_as_they_come(scripted):
    release = threading.Event()
    proxy = scripted(lambda *_: [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 29\r\n\r\ndata: {\"a\":1}\n\n",
        lambda: release.wait(DEADLINE), b"data: [DONE]\n\n"])
    connection = http.client.HTTPConnection(proxy.address, timeout=DEADLINE)
    connection.request("POST", "/v1/audio/transcriptions", *form(model="m", stream="true"))
    response = connection.getresponse()
    assert response.readline() == b'data: {"a":1}\n'
    release.set()
    assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/audio/speech"])
def test_a_call_that_asks_for_a_stream_gets_one(scripted, path):
    events = b"event: a\ndata: {}\n\n"
    proxy = scripted(lambda *_: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
                     % len(events) + events)
    response, text = call(proxy.url, path, b'{"model":"m","input":"x","stream":true}')
    assert response.headers["content-type"] == "text/event-stream" and text == events


TYPED = ["/v1/responses", "/v1/messages"]  # their clients tell objects apart by `type`, events by name


@pytest.mark.parametrize("path, is_typed", [*((path, True) for path in TYPED), ("/v1/chat/completions", False)])
def test_the_error_that_ends_a_broken_stream_is_one_that_its_clients_see(scripted, path, is_typed):
    events = b"event: a\ndata: {}\n\n"
    proxy = scripted(lambda *_: [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n"
                                 + events, None])
    with pytest.raises(http.client.IncompleteRead) as cut:
        call(proxy.url, path, b'{"model":"m","input":"x","messages":[],"stream":true}')
    first, last = cut.value.partial.strip().split(b"\n\n")
    assert first == events.strip()
    name, data = last.split(b"\n") if is_typed else (b"", last)
    assert name == (b"event: error" if is_typed else b"")
    told = json.loads(data.removeprefix(b"data: "))
    assert told["error"]["code"] == "backend_lost" and told.get("type") == ("error" if is_typed else None)


@pytest.mark.parametrize("path", [*TYPED, "/v1/messages/count_tokens"])
def test_an_error_has_a_type_where_objects_have_one(start_proxy, path):
    backend = ScriptedEngine(lambda *_: answer())
    key = "a-key-of-sixteen-characters"
    mine = {"X-Api-Key": key}
    proxy = start_proxy("--backend", backend.url, env={"BATCHPROXY_API_KEYS": f"mine {key}"}).ready(1)
    for code, body, headers, method in [
            ("invalid_api_key", b"{}", {}, "POST"), ("method_not_allowed", None, mine, "GET"),
            ("unknown_model", b'{"model":"no-such"}', mine, "POST"), ("invalid_json", b"{", mine, "POST")]:
        told = json.loads(call(proxy.url, path, body, headers, method)[1])
        assert told["type"] == "error" and told["error"]["code"] == code
    assert "type" not in json.loads(call(proxy.url, "/v1/completions", b"{}")[1])
    backend.close()


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/audio/speech"])
def test_a_call_that_fails_is_made_again(scripted, path):
    proxy = scripted(lambda number, *_: None if number == 1 else answer())
    response, _ = call(proxy.url, path, b'{"model":"m","input":"x"}')
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"


@pytest.mark.parametrize("flush", ["eager", "fixed"])
def test_work_on_tokens_waits_for_no_generation(scripted, flush):
    release = threading.Event()

    def script(_, request, __):
        if request.startswith(b"POST /v1/completions "):
            release.wait(DEADLINE)
        return answer()

    proxy = scripted(script, flush=flush, batch_timeout=3600)
    path, body = "/v1/completions", b'{"model":"m","prompt":"x","max_tokens":9,"stream":true}'
    generations = [threading.Thread(target=call, args=(proxy.url, path, body)) for _ in range(40)]
    try:
        for generation in generations:
            generation.start()
        assert wait_until(lambda: server_load(proxy) == 40, "forty generations in GET /load")
        # Nothing but their answers frees a slot; whatever waits for a batch waits for an hour.
        for path, body in TOKEN_CALLS:
            assert call(proxy.url, path, body)[0].status == 200, path
    finally:
        release.set()
        for generation in generations:
            generation.join()


def test_a_slash_at_the_end_makes_no_difference(scripted):
    proxy = scripted(lambda *_: answer())
    assert call(proxy.url, "/v1/completions/", b'{"model":"m","prompt":"x"}')[0].status == 200
    assert proxy.backend.requests[0].startswith(b"POST /v1/completions HTTP/1.1\r\n")


@pytest.mark.parametrize("path, says", [
    ("/chat/completions", "Did you mean /v1/chat/completions?"), ("/v1/v1/models", "Did you mean /v1/models?"),
    ("/metrics", "admin address"), ("/status", "admin address"), ("/v1/load_lora_adapter", "admin address"),
    ("/v1/responses/resp_1", "Send the conversation with each request"), ("/elsewhere", "docs/ROUTES.md")])
def test_an_unknown_path_is_told_what_may_have_been_meant(served, path, says):
    response, text = call(served.url, path)
    assert response.status == 404 and says in message(text)


def test_head_is_get_without_the_body(served):
    for url, path in [(served.url, "/v1/models"), (served.url, "/health"), (served.url, "/ping"),
                      (served.url, "/version"), (served.admin, "/livez"), (served.admin, "/readyz")]:
        expected, text = call(url, path)
        response, nothing = call(url, path, method="HEAD")
        assert (response.status, nothing) == (200, b""), path
        assert response.headers["content-length"] == expected.headers["content-length"] == str(len(text))
    response, nothing = call(served.admin, "/metrics", method="HEAD")
    assert (response.status, nothing) == (200, b"")


def test_another_method_is_told_which_ones_would_do(served):
    for path, method, allowed in [("/health", "POST", "GET, HEAD, OPTIONS"), ("/v1/completions", "GET", "POST, OPTIONS"),
                                  ("/v1/completions", "PUT", "POST, OPTIONS"),
                                  ("/tokenizer_info", "HEAD", "GET, OPTIONS")]:
        response, _ = call(served.url, path, method=method)
        assert (response.status, response.headers["allow"]) == (405, allowed), (path, method)
    response, _ = call(served.url, "a:1", method="CONNECT")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD, POST, OPTIONS")


def test_the_admin_address_says_what_there_is_and_which_method_would_do(served):
    for path, method, allowed in [("/metrics", "POST", "GET, HEAD"), ("/livez", "PUT", "GET, HEAD"),
                                  ("/admin/drain", "GET", "POST"), ("/admin/reload", "HEAD", "POST"),
                                  ("/v1/load_lora_adapter", "GET", "POST")]:
        response, _ = call(served.admin, path, method=method)
        assert (response.status, response.headers["allow"]) == (405, allowed), (path, method)
    for path, method in [("/elsewhere", "GET"), ("/elsewhere", "POST"), ("/admin/elsewhere", "POST")]:
        response, text = call(served.admin, path, method=method)
        assert response.status == 404 and b"/status, /metrics, " in text and b"POST takes /admin/reload" in text
