"""LoRA adapters are loaded and unloaded on all engines by one call to the admin address."""
import concurrent.futures
import json
import threading

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
ORDER = {"lora_name": "sql", "lora_path": "/adapters/sql"}
WITH_ADAPTERS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
LISTED = b'{"object":"list","data":[{"id":"m","object":"model"},{"id":"sql","object":"model"}]}'


def give(proxy, path, order=None):
    """The status of an order's answer, and its JSON."""
    response, text = call(proxy.admin, path, ORDER if order is None else order)
    assert response.headers["content-type"] == "application/json"
    return response.status, json.loads(text)


def results(report):
    return [(backend["result"], backend["status"]) for backend in report["backends"]]


def listed(url):
    return [model["id"] for model in json.loads(call(url, "/v1/models")[1])["data"]]


@pytest.fixture
def two_engines(start_proxy, start_engine):
    """A proxy in front of two simulated engines that take adapters, `engines`."""
    engines = [start_engine(env=WITH_ADAPTERS) for _ in range(2)]
    proxy = start_proxy(*(flag for engine in engines for flag in ("--backend", engine.url))).ready(2)
    proxy.engines = engines
    return proxy


@pytest.fixture
def scripted(start_proxy):
    """scripted(*scripts) -> a proxy in front of a scripted backend each."""
    backends = []

    def start(*scripts):
        ours = [ScriptedEngine(script) for script in scripts]
        backends.extend(ours)
        proxy = start_proxy(*(flag for one in ours for flag in ("--backend", one.url))).ready(len(ours))
        proxy.backends = ours
        return proxy

    yield start
    for backend in backends:
        backend.close()


def test_an_adapter_is_routable_when_the_answer_comes_and_gone_when_it_is_unloaded(two_engines):
    proxy = two_engines
    assert complete(proxy.url, "x", model="sql")[0].status == 404
    status, report = give(proxy, LOAD)
    assert status == 200 and results(report) == [("done", 200)] * 2
    assert report["lora_name"] == "sql" and report["message"] == "Loaded on 2 of 2 engines."
    assert {backend["message"] for backend in report["backends"]} == \
        {"Success: LoRA adapter 'sql' added successfully."}
    assert all("sql" in listed(url) for url in [proxy.url] + [engine.url for engine in proxy.engines])
    served = {complete(proxy.url, f"{i} " * 40, model="sql")[0].headers["x-batchproxy-backend"] for i in range(20)}
    assert len(served) == 2
    assert complete(proxy.url, "x", model="sql")[1]["model"] == "sql"

    status, report = give(proxy, UNLOAD, {"lora_name": "sql"})
    assert status == 200 and results(report) == [("done", 200)] * 2
    assert listed(proxy.url) == [MODEL]
    assert complete(proxy.url, "x", model="sql")[0].status == 404


def test_an_order_may_be_given_again(two_engines):
    assert give(two_engines, LOAD)[0] == 200
    status, report = give(two_engines, LOAD)
    assert status == 200 and results(report) == [("done", 400)] * 2
    assert "already been loaded" in report["backends"][0]["message"]
    assert give(two_engines, UNLOAD)[0] == 200
    status, report = give(two_engines, UNLOAD)
    assert status == 200 and results(report) == [("done", 404)] * 2


def test_an_engine_that_takes_no_adapters_is_named_and_what_the_other_did_stays(start_proxy, start_engine):
    able, unable = start_engine(env=WITH_ADAPTERS), start_engine()
    proxy = start_proxy("--backend", able.url, "--backend", unable.url).ready(2)
    status, report = give(proxy, LOAD)
    assert status == 502 and results(report) == [("done", 200), ("failed", 404)]
    assert report["backends"][1]["backend"] == unable.url.removeprefix("http://")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in report["backends"][1]["message"]
    assert report["message"].startswith("Loaded on 1 of 2 engines.") and "give the order again" in report["message"]
    response, _ = complete(proxy.url, "x", model="sql")
    assert response.status == 200 and response.headers["x-batchproxy-backend"] == able.url.removeprefix("http://")


def test_an_engine_that_is_not_up_is_listed_and_not_asked(two_engines):
    two_engines.engines[1].stop()
    wait_until(lambda: two_engines.status()["backends"][1]["state"] != "ready", "one engine down")
    status, report = give(two_engines, LOAD)
    assert status == 200 and results(report) == [("done", 200), ("not up", None)]
    assert "need the order again" in report["message"] and report["backends"][1]["message"]
    two_engines.engines[0].stop()
    wait_until(lambda: two_engines.status()["backends"][0]["state"] != "ready", "both engines down")
    status, report = give(two_engines, LOAD)
    assert status == 503 and results(report) == [("not up", None)] * 2


def test_an_adapter_that_is_unloaded_while_an_engine_is_down_is_not_waited_for(two_engines):
    assert give(two_engines, LOAD)[0] == 200
    two_engines.engines[1].stop()
    wait_until(lambda: two_engines.status()["backends"][1]["state"] != "ready", "one engine down")
    status, report = give(two_engines, UNLOAD, {"lora_name": "sql"})
    assert status == 200 and results(report) == [("done", 200), ("not up", None)]
    assert complete(two_engines.url, "x", model="sql")[0].status == 404
    assert listed(two_engines.url) == [MODEL]


def test_engines_are_asked_at_once_and_the_proxy_goes_on(scripted):
    asked, release = [threading.Event(), threading.Event()], threading.Event()

    def script_of(i):
        def script(_, request, __):
            if not request.startswith(b"POST " + LOAD.encode()):
                return answer()
            asked[i].set()
            release.wait(DEADLINE)
            proxy.backends[i].models = LISTED
            return answer(b"Success")
        return script

    proxy = scripted(script_of(0), script_of(1))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        order = pool.submit(give, proxy, LOAD)
        try:
            assert all(event.wait(DEADLINE) for event in asked)
            assert call(proxy.admin, "/status")[0].status == 200
            assert call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"})[0].status == 200
        finally:
            release.set()
        assert order.result()[0] == 200
    assert call(proxy.url, "/v1/completions", {"model": "sql", "prompt": "x"})[0].status == 200


def test_engines_get_the_body_as_it_is_and_their_own_key(start_proxy, tmp_path):
    def script(*_):
        backend.models = LISTED
        return answer(b"Success")

    backend = ScriptedEngine(script)
    config = tmp_path / "proxy.yaml"
    config.write_text(json.dumps({"batchproxy": {"backends": [{"url": backend.url, "api_key": "theirs"}]}}))
    proxy = start_proxy("--config", config).ready(1)
    body = b'{ "lora_name": "sql",  "lora_path": "/a", "load_inplace": true }'
    assert call(proxy.admin, LOAD, body)[0].status == 200
    head, _, sent = backend.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    assert head.startswith(b"POST /v1/load_lora_adapter HTTP/1.1\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"authorization: bearer theirs" in lines and b"content-type: application/json" in lines
    backend.close()


def test_an_adapter_that_an_engine_does_not_list_is_not_loaded(scripted):
    proxy = scripted(lambda *_: answer(b"Success"))
    status, report = give(proxy, LOAD)
    assert status == 502 and results(report) == [("failed", 200)]
    assert report["backends"][0]["message"] == \
        "its /v1/models does not name the adapter, although it said: Success"


@pytest.mark.parametrize("reply, status, says", [
    (lambda *_: answer(b'{"error":{"message":"rank 64 is too much"}}', b"400 Bad Request"), 400, "rank 64 is too much"),
    (lambda *_: None, None, "end of stream"), (lambda *_: b"nonsense\r\n\r\n", None, "")])
def test_an_engines_failure_is_shown_in_its_words(scripted, reply, status, says):
    code, report = give(scripted(reply), LOAD)
    assert code == 502 and results(report) == [("failed", status)]
    assert says in report["backends"][0]["message"] and report["backends"][0]["message"]


def test_an_order_that_names_no_adapter_reaches_no_engine(two_engines):
    for body, code, status in [(b"{", "invalid_json", 400), (b"{}", "invalid_request", 400)]:
        got, report = give(two_engines, LOAD, body)
        assert (got, report["error"]["code"]) == (status, code)
    response, _ = call(two_engines.admin, LOAD)
    assert (response.status, response.headers["allow"]) == (405, "POST")


def test_adapters_are_no_business_of_clients(two_engines):
    response, text = call(two_engines.url, LOAD, ORDER)
    assert response.status == 404 and "admin address" in json.loads(text)["error"]["message"]
    assert listed(two_engines.url) == [MODEL]
