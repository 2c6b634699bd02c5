"""Engines that are not vLLM: each is found to live, and is used, by what it has."""
import json

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.scripted_engine import ANY, ScriptedEngine, model_list
from tests.support.waiting import wait_until
from tests.support.wire import answer

OK = (200, "")
ALIVE = (200, '"I\'m alive!"')
REPORT = (200, '{"healthy_endpoints":[{"model":"openai/m"}],"unhealthy_endpoints":[]}')
ANSWER = {"object": "list", "data": [], "choices": [{"text": "ok", "message": {"content": "ok"}}], "results": []}
REFUSAL = '{"error":{"message":"Authentication Error, No api key passed in.","type":"auth_error","code":"401"}}'
LITELLM = {"/health": REPORT, "/health/liveliness": ALIVE, "/v1/models": model_list("m")}
NAMED = {"models": ["m"]}


def foreign_server(pages, **guard):
    """It has these pages, and answers every POST."""
    return ScriptedEngine(lambda *_: answer(json.dumps(ANSWER).encode()), {ANY: (404, "not found"), **pages}, **guard)


def guarded_litellm():
    return foreign_server(LITELLM, key="k", open_pages=["/health/liveliness"], refusal=REFUSAL)


@pytest.fixture
def foreign(start_proxy, tmp_path):
    """foreign((server, entry), ...): a proxy in front of the servers, each with the keys of its entry."""
    servers = []

    def start(*backends):
        servers.extend(server for server, _ in backends)
        proxy = start_proxy("--config", config_of(tmp_path / "foreign.yaml", *backends))
        proxy.config = tmp_path / "foreign.yaml"
        return proxy

    yield start
    for server in servers:
        server.close()


def config_of(path, *backends):
    entries = [{"url": server.url, **entry} for server, entry in backends]
    path.write_text(json.dumps({"batchproxy": {"backends": entries, "health_interval": 0.05}}))
    return path


def reload(proxy, *backends):
    config_of(proxy.config, *backends)
    assert call(proxy.admin, "/admin/reload", b"")[0].status == 200


def ask(proxy, path="/v1/completions", model="m", key=None):
    body = {"model": model, "prompt": "x", "input": "x", "query": "x", "texts": ["y"], "messages": []}
    return call(proxy.url, path, body, {"Authorization": f"Bearer {key}"} if key else None)[0].status


def listed(proxy):
    return json.loads(call(proxy.url, "/v1/models")[1])["data"]


def said(proxy, text):
    return any(text in line for line in proxy.lines + proxy.errors)


def problem(proxy):
    return proxy.status()["backends"][0].get("problem", "")


@pytest.mark.parametrize("pages, entry, paths", [
    ({"/": OK, "/v1/models": model_list("m")}, {}, ["/v1/chat/completions"]),
    ({"/": OK, "/metrics": OK}, NAMED, ["/v1/embeddings"]),
    ({"/healthz": OK, "/livez": OK, "/readyz": OK}, {"health_path": "/livez", **NAMED}, ["/v1/chat/completions"]),
    ({"/healthz": OK}, NAMED, ["/v1/chat/completions"]),
    ({"/health": OK, "/info": OK}, NAMED, ["/v1/embeddings", "/rerank"]),
    ({"/health": (204, ""), "/v1/models": (501, "")}, NAMED, ["/v1/completions"]),
    ({"/health": OK, "/v1/models": model_list()}, NAMED, ["/v1/completions"]),
    ({"/health": (404, ""), "/v1/models": (400, "")}, NAMED, ["/v1/completions"]),
    ({"/health": OK, "/v1/models": model_list("m")}, {}, ["/v1/completions"]),
    (LITELLM, {}, ["/v1/chat/completions"]),
], ids=["Ollama", "mosec", "BentoML", "BentoML without health_path", "TEI", "no list", "empty list", "bad request",
        "llama.cpp", "LiteLLM"])
def test_it_is_used_as_it_is(foreign, pages, entry, paths):
    server = foreign_server(pages)
    proxy = foreign((server, entry)).ready(1)
    assert [model["id"] for model in listed(proxy)] == ["m"]
    assert [ask(proxy, path) for path in paths] == [200] * len(paths)
    assert server.served == paths
    assert ask(proxy, model="unknown") == 404


def test_a_configured_name_is_shown_as_a_plain_model(foreign):
    proxy = foreign((foreign_server({"/health": OK}), {"models": ["m", 'a "b"']})).ready(1)
    plain = {"object": "model", "created": 0, "owned_by": "batchproxy"}
    assert listed(proxy) == [{"id": "m", **plain}, {"id": 'a "b"', **plain}]


def test_a_list_that_it_tells_is_taken_instead_of_the_configured_one(foreign):
    server = foreign_server({"/health": OK, "/v1/models": model_list("own")})
    proxy = foreign((server, NAMED)).ready(1)
    assert [model["id"] for model in listed(proxy)] == ["own"]
    assert (ask(proxy, model="own"), ask(proxy, model="m")) == (200, 404)


@pytest.mark.parametrize("pages, says", [
    ({"/health": OK}, "GET /v1/models answered 404: name what it serves in `models` of this backend"),
    ({}, "GET /health answered 404 and GET /v1/models 404: name what it serves in `models` of this backend"),
    ({"/health": OK, "/v1/models": model_list()}, "its /v1/models names no model: name what it serves in `models`")])
def test_without_names_the_problem_says_which_key_to_set(foreign, pages, says):
    server = foreign_server(pages)
    proxy = foreign((server, {}))
    wait_until(lambda: says in problem(proxy), f"{says}\n{proxy.output()}")
    wait_until(lambda: said(proxy, says), "the same in the log")
    reload(proxy, (server, NAMED))
    proxy.ready(1)
    assert ask(proxy) == 200


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_names_do_not_hide_a_wrong_key_or_a_failure(foreign, status):
    server = foreign_server({"/health": OK, "/v1/models": (status, "")})
    proxy = foreign((server, {"api_key": "wrong", **NAMED}))
    wait_until(lambda: f"GET /v1/models answered {status}" in problem(proxy), proxy.output)
    server.pages["/v1/models"] = model_list("m")
    proxy.ready(1)


def test_a_health_path_is_believed_and_changed_by_a_reload(foreign):
    server = foreign_server({"/healthz": (503, ""), "/v1/models": model_list("m")})
    proxy = foreign((server, {"health_path": "/healthz"}))
    wait_until(lambda: problem(proxy) == "GET /healthz answered 503", "not ready")
    assert "/health" not in server.asked
    server.pages["/healthz"] = OK
    proxy.ready(1)
    reload(proxy, (server, {"health_path": "/nowhere"}))
    wait_until(lambda: "correct the `health_path` of this backend" in problem(proxy), "the new path")


def test_an_engine_without_health_that_dies_is_seen(foreign):
    server = foreign_server({})
    proxy = foreign((server, NAMED)).ready(1)
    server.close()
    wait_until(lambda: proxy.status()["backends"][0]["state"] == "unready", "unready")


def test_after_an_outage_it_may_be_another_server(foreign):
    server = foreign_server({"/v1/models": model_list("m")})
    proxy = foreign((server, {})).ready(1)
    server.pages["/v1/models"] = (503, "")
    wait_until(lambda: problem(proxy) == "GET /v1/models answered 503", "unready")
    server.pages["/health"] = (503, "")
    server.pages["/v1/models"] = model_list("m")
    wait_until(lambda: problem(proxy) == "GET /health answered 503", "its health counts")
    server.pages["/health"] = OK
    proxy.ready(1)


# --- LiteLLM: its /health has every model complete a prompt -------------------------------------------

@pytest.mark.parametrize("server, entry", [
    (lambda: foreign_server(LITELLM), {}), (guarded_litellm, {"api_key": "k"}), (guarded_litellm, {})],
    ids=["open", "its key", "clients' keys"])
def test_the_health_of_a_litellm_is_asked_once(foreign, server, entry):
    server = server()
    proxy = foreign((server, entry)).ready(1)
    assert ask(proxy, key="k") == 200
    wait_until(lambda: server.asked.count("/health/liveliness") > 5, "its cheap path")
    server.pages["/health/liveliness"] = (503, '{"status":"shutting_down"}')
    wait_until(lambda: proxy.status()["backends"][0]["state"] == "unready", "unready")
    server.pages["/health/liveliness"] = ALIVE
    proxy.ready(1)
    assert ask(proxy, key="k") == 200
    assert server.asked.count("/health") == 1


def test_nobody_else_is_asked_for_the_path_of_litellm(foreign):
    servers = [foreign_server(pages, key=key) for pages, key in [
        ({"/health": OK}, None), ({"/health": OK}, "k"), ({}, None), ({"/v1/models": model_list("m")}, None)]]
    proxy = foreign(*((server, NAMED) for server in servers))
    wait_until(lambda: all(len(server.asked) > 10 for server in servers), "many looks")
    assert not any(path.startswith("/health/") for server in servers for path in server.asked), proxy.output()


# --- engines that want a key --------------------------------------------------------------------------

def test_an_engine_that_asks_for_a_key_no_more_gets_what_it_lists(foreign):
    server = foreign_server({"/health": OK, "/v1/models": model_list("m")}, key="k", open_pages=["/health"])
    proxy = foreign((server, {})).ready(1)
    assert ask(proxy, model="whatever", key="k") == 200
    wait_until(lambda: said(proxy, "asks for an API key"), "the warning")
    server.key = None
    reload(proxy, (server, {}))
    wait_until(lambda: said(proxy, "needs no key, or takes the one"), "taken back")
    assert (ask(proxy), ask(proxy, model="whatever")) == (200, 404)
    server.key = "k"
    reload(proxy, (server, {"api_key": "wrong"}))  # no list, and none is asked of clients: the old one stands
    reload(proxy, (server, {}))
    wait_until(lambda: ask(proxy, model="whatever", key="k") == 200, "it may serve anything again")
    reload(proxy, (server, {"api_key": "k"}))
    wait_until(lambda: ask(proxy, model="whatever") == 404, "its list, read with its key")
    assert ask(proxy) == 200


def test_names_of_an_engine_that_keeps_its_list_to_itself_may_be_configured(foreign):
    server = foreign_server({"/health": OK}, key="k", open_pages=["/health"])
    proxy = foreign((server, NAMED)).ready(1)
    assert (ask(proxy, key="k"), ask(proxy, model="whatever", key="k")) == (200, 404)


def test_a_model_goes_to_those_that_list_it_and_any_other_to_the_engine_that_tells_no_list(foreign):
    guarded = foreign_server({"/health": OK, "/v1/models": model_list("x")}, key="k", open_pages=["/health"])
    plain = foreign_server({"/health": OK, "/v1/models": model_list("m")})
    proxy = foreign((guarded, {}), (plain, {})).ready(2)
    for _ in range(6):
        assert ask(proxy, model="m", key="k") == 200
    assert (len(plain.served), len(guarded.served)) == (6, 0)
    for _ in range(6):
        assert ask(proxy, model="x", key="k") == 200
    assert (len(plain.served), len(guarded.served)) == (6, 6)


# --- /status ------------------------------------------------------------------------------------------

def test_an_engine_by_url_is_simulated_if_it_says_so(start_proxy, start_engine):
    engine, real = start_engine(), ScriptedEngine(lambda *_: answer())
    proxy = start_proxy("--backend", engine.url, "--backend", real.url).ready(2)
    assert [backend["simulated"] for backend in proxy.status()["backends"]] == [True, False]
    assert complete(proxy.url, "hello", model=MODEL)[0].status == 200
    real.close()
