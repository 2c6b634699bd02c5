"""OPTIONS, and what the browsers of web pages are told about answers."""
import http.client
import json

import pytest

from tests.support.asking import MODEL, call
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

PAGE = "http://localhost:3000"
ASKS_FIRST = {"Origin": PAGE, "Access-Control-Request-Method": "POST",
              "Access-Control-Request-Headers": "authorization,content-type"}
BODY = {"model": "m", "prompt": "x"}


@pytest.fixture
def allowing(start_proxy, tmp_path):
    """allowing(script, **keys): a proxy that lets PAGE read its answers."""
    backends = []

    def start(script=lambda *_: answer(), env=None, **keys):
        backend = ScriptedEngine(script)
        backends.append(backend)
        keys = {"allowed_origins": [PAGE], "backends": [{"url": backend.url}], **keys}
        config = tmp_path / "proxy.yaml"
        config.write_text(json.dumps({"batchproxy": keys}))
        proxy = start_proxy("--config", config, env=env).ready(1)
        proxy.backend, proxy.config = backend, config
        return proxy

    yield start
    for backend in backends:
        backend.close()


def of_browsers(response):
    """The answer's fields that browsers go by; none may be there twice."""
    names = [name.lower() for name in response.headers if name.lower().startswith("access-control-")]
    assert len(names) == len(set(names))
    return {name.removeprefix("access-control-"): response.headers[name] for name in names}


def assert_readable(response, origin=PAGE):
    assert of_browsers(response) == {"allow-origin": origin, "expose-headers": "*"}
    assert response.headers["vary"] == "Origin"


# --- OPTIONS ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("path, allowed", [
    ("/v1/completions", "POST, OPTIONS"), ("/v1/completions/?x=1", "POST, OPTIONS"),
    ("/v1/models", "GET, HEAD, OPTIONS"), ("/health", "GET, HEAD, OPTIONS"), ("/tokenizer_info", "GET, OPTIONS"),
    ("*", "GET, HEAD, POST, OPTIONS")])
def test_options_tells_the_methods_of_a_path(served, path, allowed):
    response, nothing = call(served.url, path, method="OPTIONS", headers=ASKS_FIRST)
    assert (response.status, response.headers["allow"], nothing) == (204, allowed, b"")
    assert response.headers["content-length"] is None and of_browsers(response) == {}


def test_options_of_an_unknown_path_is_as_unknown_as_any(served):
    response, text = call(served.url, "/elsewhere", method="OPTIONS")
    assert response.status == 404 and json.loads(text)["error"]["code"] == "unknown_route"


def test_options_needs_no_key_and_brings_no_body_without_one(allowing):
    proxy = allowing(env={"BATCHPROXY_API_KEYS": "mine a-key-of-sixteen-characters"})
    response, _ = call(proxy.url, "/v1/completions", method="OPTIONS", headers=ASKS_FIRST)
    assert response.status == 204 and response.headers["access-control-allow-origin"] == PAGE
    response, _ = call(proxy.url, "/v1/completions", b"{}", ASKS_FIRST, method="OPTIONS")
    assert response.status == 401


def test_a_connection_that_asked_first_carries_the_request(allowing):
    proxy = allowing()
    connection = http.client.HTTPConnection(proxy.address, timeout=DEADLINE)
    connection.request("OPTIONS", "/v1/completions", headers=ASKS_FIRST)
    response = connection.getresponse()
    response.read()
    socket = connection.sock
    connection.request("POST", "/v1/completions", json.dumps(BODY), {"Origin": PAGE})
    assert connection.getresponse().status == 200 and connection.sock is socket
    connection.close()


# --- pages that are allowed -------------------------------------------------------------------------

def test_a_preflight_is_told_what_its_page_may_send(allowing):
    response, _ = call(allowing().url, "/v1/chat/completions", method="OPTIONS", headers=ASKS_FIRST)
    assert response.status == 204 and response.headers["vary"] == "Origin"
    assert of_browsers(response) == {"allow-origin": PAGE, "expose-headers": "*", "allow-methods": "POST, OPTIONS",
                                     "allow-headers": "authorization,content-type", "max-age": "600"}


@pytest.mark.parametrize("path, body, status", [
    ("/v1/completions", BODY, 200), ("/v1/models", None, 200), ("/health", None, 200), ("/v1/completions", b"{", 400),
    ("/v1/completions", {**BODY, "model": "other"}, 404), ("/elsewhere", None, 404), ("/v1/completions", None, 405)])
def test_every_answer_names_the_page(allowing, path, body, status):
    response, _ = call(allowing().url, path, body, {"Origin": PAGE})
    assert response.status == status
    assert_readable(response)


def test_a_refusal_for_want_of_a_key_names_the_page(allowing):
    proxy = allowing(env={"BATCHPROXY_API_KEYS": "mine a-key-of-sixteen-characters"})
    response, _ = call(proxy.url, "/v1/completions", BODY, {"Origin": PAGE})
    assert response.status == 401
    assert_readable(response)


@pytest.mark.parametrize("status", [b"400 Bad Request", b"429 Too Many Requests"])
def test_an_engines_error_names_the_page_once(allowing, status):
    theirs = b"access-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\nretry-after: 9\r\n"
    proxy = allowing(lambda *_: answer(b'{"error":{}}', status, theirs))
    response, _ = call(proxy.url, "/v1/completions", BODY, {"Origin": PAGE})
    assert response.status == int(status[:3])
    assert_readable(response)


def test_a_queue_that_is_full_names_the_page(allowing):
    proxy = allowing(max_queue=1)
    response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": ["x"] * 40}, {"Origin": PAGE})
    assert response.status == 503
    assert_readable(response)


def test_a_stream_names_the_page(start_proxy, start_engine, tmp_path):
    engine = start_engine()
    config = tmp_path / "proxy.yaml"
    config.write_text(json.dumps({"batchproxy": {"allowed_origins": ["*"], "backends": [{"url": engine.url}]}}))
    proxy = start_proxy("--config", config).ready(1)
    body = {"model": MODEL, "prompt": "x", "max_tokens": 4, "stream": True}
    response, text = call(proxy.url, "/v1/completions", body, {"Origin": "https://example.org"})
    assert response.status == 200 and text.endswith(b"data: [DONE]\n\n")
    assert_readable(response, "*")


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost:3001"}])
def test_others_are_served_as_ever(allowing, headers):
    proxy = allowing()
    response, _ = call(proxy.url, "/v1/completions", BODY, headers)
    assert response.status == 200 and of_browsers(response) == {} and response.headers["vary"] is None
    preflight = {**ASKS_FIRST, "Origin": "http://localhost:3001"}
    response, _ = call(proxy.url, "/v1/completions", method="OPTIONS", headers=preflight)
    assert response.status == 204 and of_browsers(response) == {}


@pytest.mark.parametrize("path", ["/admin/reload", "/admin/drain", "/v1/load_lora_adapter"])
def test_no_page_gives_orders_on_the_admin_address(allowing, path):
    proxy = allowing()
    body = {"lora_name": "a", "lora_path": "b"}
    response, text = call(proxy.admin, path, body, {"Origin": PAGE, "Content-Type": "text/plain"})
    assert (response.status, text) == (403, b"Web pages may not use this path. Use a program that sends no Origin field.\n") and of_browsers(response) == {}
    assert not proxy.backend.requests and proxy.status()["state"] != "draining"
    response, text = call(proxy.admin, "/status", headers={"Origin": PAGE})
    assert response.status == 403 and b"A page of another origin" in text and of_browsers(response) == {}


def test_a_reload_lets_another_page_read(allowing):
    proxy = allowing()
    other = "https://app.example.org"
    assert of_browsers(call(proxy.url, "/v1/models", headers={"Origin": other})[0]) == {}
    proxy.config.write_text(json.dumps({"batchproxy": {"allowed_origins": [other],
                                                       "backends": [{"url": proxy.backend.url}]}}))
    response, text = call(proxy.admin, "/admin/reload", method="POST")
    assert response.status == 200 and b"allowed_origins" in text
    wait_until(lambda: of_browsers(call(proxy.url, "/v1/models", headers={"Origin": other})[0]), "the new origin")
    assert of_browsers(call(proxy.url, "/v1/models", headers={"Origin": PAGE})[0]) == {}
