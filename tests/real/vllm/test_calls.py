"""Every kind of call without a client's package: what comes through batchproxy is what comes directly."""
import pytest

from ..compatibility import SIMULATED, VLLM, case
from . import calls
from .events import without_pieces

ENGINES = (SIMULATED, VLLM)


def asked(table, fixtures=None):
    return [case("plain HTTP", one.path, one.name, engine, one, fixture=(fixtures or {}).get(engine),
                 difference=one.difference)
            for one in table for engine in ENGINES]


def asked_an_embedder(table):
    return asked(table, {SIMULATED: "pooling_sim_pair", VLLM: "pooling_vllm_pair"})


def both(pair, one):
    return [one.ask(url, pair.model) for url in (pair.direct, pair.proxied)]


def comparable(answer):
    status, kind, body = answer
    return status, kind, without_pieces(calls.steady(body)) if kind == "text/event-stream" else calls.steady(body)


@pytest.mark.parametrize("engine, one", asked(calls.ANSWERED) + asked_an_embedder(calls.POOLED))
def test_answers_are_equal(pairs, engine, one):
    direct, proxied = both(pairs(engine), one)
    assert direct[0] == 200, direct
    assert comparable(proxied) == comparable(direct)


@pytest.mark.parametrize("engine, one", asked(calls.REFUSED) + asked_an_embedder(calls.POOLED_REFUSED))
def test_refusals_are_equal(pairs, engine, one):
    direct, proxied = both(pairs(engine), one)
    assert direct[0] == 400, direct
    assert proxied == direct


@pytest.mark.parametrize("engine, one", asked(calls.OF_A_GENERATOR) + asked_an_embedder(calls.OF_AN_EMBEDDER))
def test_what_a_model_of_the_other_kind_could(pairs, engine, one):
    direct, proxied = both(pairs(engine), one)
    assert direct[0] == 404 and proxied == direct


@pytest.mark.parametrize("engine, one", asked(calls.UNREADABLE))
def test_what_is_no_request_gets_the_same_status_from_us(pairs, engine, one):
    direct, proxied = both(pairs(engine), one)
    assert direct[:2] == proxied[:2] == (400, "application/json")
    assert proxied[2]["error"]["code"] in ("invalid_json", "invalid_request")


@pytest.mark.parametrize("engine, one", asked(calls.UNKNOWN_MODEL))
def test_an_unknown_model_gets_the_same_status_from_us(pairs, engine, one):
    pair = pairs(engine)
    direct, proxied = both(pair, one)
    assert direct[:2] == proxied[:2] == (404, "application/json")
    assert proxied[2]["error"]["code"] == "unknown_model" and pair.model in proxied[2]["error"]["message"]
    assert proxied[2]["error"]["param"] == direct[2]["error"]["param"] == "model"


@pytest.mark.parametrize("engine, one", asked(calls.UNKNOWN_ROUTE))
def test_an_unknown_route_gets_the_same_status_from_us(pairs, engine, one):
    direct, proxied = both(pairs(engine), one)
    assert direct[0] == proxied[0] == one.status
    assert set(direct[2]) == {"detail"} and set(proxied[2]) == {"error"}
