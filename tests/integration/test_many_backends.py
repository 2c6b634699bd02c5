"""More backends than a machine word has bits: one server, at as many addresses of the loopback network."""
from tests.support.asking import call
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until
from tests.support.wire import answer

MANY = 70


def test_the_seventieth_backend_gets_requests_too(start_proxy):
    backend = ScriptedEngine(lambda number, request, connection: answer(), address=("0.0.0.0", 0))
    urls = [f"http://127.0.0.{i + 1}:{backend.port}" for i in range(MANY)]
    proxy = start_proxy(*[word for url in urls for word in ("--backend", url)]).ready(MANY)

    def answered():
        response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "hello", "max_tokens": 1})
        assert response.status == 200
        return [one["answered"] for one in proxy.status()["backends"]]

    wait_until(lambda: all(answered()), "an answer of each of them")
    assert f'batchproxy_backend_up{{backend="127.0.0.{MANY}:{backend.port}"}} 1' in call(proxy.admin, "/metrics")[1].decode()
    backend.close()
