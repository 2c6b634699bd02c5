"""Requests that share a call, and lists that are spread over several: the answers are those of lone
requests, and a bad one hurts only itself."""
import collections
import concurrent.futures
import http.client
import json

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.waiting import wait_until

from .list_engine import ListEngine


@pytest.fixture
def list_engine():
    made = []

    def make(**how):
        made.append(ListEngine(**how))
        return made[-1]

    yield make
    for engine in made:
        engine.gate.set()
        engine.backend.close()


def start(start_proxy, tmp_path, engines, **keys):
    settings = {"backends": [{"url": engine.url, "max_num_seqs": 256} for engine in engines], **keys}
    worker = {"batch_size": settings.pop("batch_size", 16), "batch_timeout": settings.pop("batch_timeout", 0.5)}
    (tmp_path / "c.yaml").write_text(json.dumps({**worker, "batchproxy": settings}))
    return start_proxy("--config", tmp_path / "c.yaml").ready(len(engines))


def ask_all(proxy, prompts, **fields):
    def one(prompt):
        response, text = call(proxy.url, "/v1/completions", {"model": "m", "prompt": prompt, "max_tokens": 1, **fields})
        return response, json.loads(text)
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(one, prompts))


def check_lone(prompt, got):
    """The answer has the shape and the usage of a lone one's."""
    response, body = got
    assert response.status == 200, body
    assert body["choices"] == [{"index": 0, "text": f"<{prompt}>", "finish_reason": "stop",
                                "token_ids": None, "prompt_token_ids": None}]
    spent = len(prompt) % 3
    assert body["usage"] == {"prompt_tokens": len(prompt), "total_tokens": len(prompt) + spent,
                             "completion_tokens": spent, "prompt_tokens_details": None}


@pytest.mark.parametrize("status", [b"400 Bad Request", b"500 Internal Server Error"])
@pytest.mark.parametrize("flush", ["fixed", "eager"])
def test_a_poisoned_member_costs_itself_alone(start_proxy, tmp_path, list_engine, status, flush):
    engine = list_engine(poison="poison", status=status)
    proxy = start(start_proxy, tmp_path, [engine], merge="always", flush=flush, batch_timeout=30)
    prompts = [f"prompt {'poison' if i == 41 else i}" for i in range(64)]
    if flush == "eager":
        # Sixteen calls are under way, and all the others wait to share the next ones.
        engine.gate.clear()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            first = []
            for i in range(16):  # one after the other, or they would share calls themselves
                first.append(pool.submit(complete, proxy.url, f"first {i}", model="m"))
                wait_until(lambda: proxy.status()["backends"][0]["inflight"] == i + 1, "one more under way")
            with concurrent.futures.ThreadPoolExecutor(1) as asking:
                answers = asking.submit(ask_all, proxy, prompts)
                wait_until(lambda: sum(proxy.status()["requests"][k] for k in ("queued", "inflight")) == 80, "all in")
                engine.gate.set()
                answers = answers.result()
            assert all(f.result()[0].status == 200 for f in first)
        calls = [prompts for prompts in engine.calls if not prompts[0].startswith("first")]
    else:
        answers = ask_all(proxy, prompts)
        calls = engine.calls
    for prompt, got in zip(prompts, answers):
        if "poison" in prompt:
            assert got[0].status == int(status[:3])
            assert got[1]["error"]["message"] == "poison is not allowed"
        else:
            check_lone(prompt, got)
    assert len(calls) <= 20
    assert len({body["id"] for _, body in answers if "id" in body}) == 63


def test_usage_that_cannot_be_told_apart_is_marked(start_proxy, tmp_path, list_engine):
    engine = list_engine(token_ids=False)
    proxy = start(start_proxy, tmp_path, [engine], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    prompts = ["a", "bb", "ccc", "dddd"]
    answers = ask_all(proxy, prompts)
    assert all(response.headers["x-batchproxy-usage"] == "apportioned" for response, _ in answers)
    assert sum(body["usage"]["prompt_tokens"] for _, body in answers) == 10
    assert [body["choices"][0]["text"] for _, body in answers] == [f"<{prompt}>" for prompt in prompts]


def test_requests_that_differ_do_not_share_a_call(start_proxy, tmp_path, list_engine):
    engine = list_engine()
    proxy = start(start_proxy, tmp_path, [engine], merge="always", flush="fixed", batch_size=4, batch_timeout=30)

    def one(i):
        return call(proxy.url, "/v1/completions", {"model": "m", "prompt": f"p{i}", "max_tokens": 1 + i % 2},
                    {"Authorization": f"Bearer key-{i // 2 % 2}"})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(response.status == 200 for response, _ in pool.map(one, range(4)))
    assert collections.Counter(map(len, engine.calls)) == {1: 4}


def test_a_shared_call_tells_each_browser_of_its_own_page(start_proxy, tmp_path, list_engine):
    engine = list_engine()
    proxy = start(start_proxy, tmp_path, [engine], merge="always", flush="fixed", batch_size=4, batch_timeout=30,
                  allowed_origins=["http://one", "http://two"])
    origins = ["http://one", "http://two", "http://three", None]

    def one(origin):
        return call(proxy.url, "/v1/completions", {"model": "m", "prompt": f"p {origin}"},
                    {"Origin": origin} if origin else {})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [response for response, _ in pool.map(one, origins)]
    assert collections.Counter(map(len, engine.calls)) == {4: 1}
    assert all(response.status == 200 for response in answers)
    assert [response.headers["access-control-allow-origin"] for response in answers] == origins[:2] + [None, None]


def test_a_client_that_leaves_a_shared_call_does_not_take_the_others_along(start_proxy, tmp_path, list_engine):
    engine = list_engine()
    proxy = start(start_proxy, tmp_path, [engine], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    engine.gate.clear()
    leaver = http.client.HTTPConnection(proxy.address, timeout=60)
    leaver.request("POST", "/v1/completions", json.dumps({"model": "m", "prompt": "leaver", "max_tokens": 1}),
                   {"Content-Type": "application/json"})
    with concurrent.futures.ThreadPoolExecutor(1) as asking:
        answers = asking.submit(ask_all, proxy, ["a", "bb", "ccc"])
        wait_until(lambda: proxy.status()["requests"]["inflight"] == 4, "the batch to leave")
        leaver.close()
        engine.gate.set()
        for prompt, got in zip(["a", "bb", "ccc"], answers.result()):
            check_lone(prompt, got)
    wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "the leaver to be counted")
    assert len(engine.calls) == 1


def test_members_of_a_call_that_died_are_tried_again_elsewhere(start_proxy, tmp_path, list_engine):
    dying, healthy = list_engine(), list_engine()
    dying.serve_for_real, dying.backend.script = dying.serve, lambda *_: None
    proxy = start(start_proxy, tmp_path, [dying, healthy], merge="always", flush="fixed", batch_size=4,
                  batch_timeout=0.2)
    prompts = [f"p{i}" for i in range(16)]
    for prompt, got in zip(prompts, ask_all(proxy, prompts)):
        check_lone(prompt, got)


def test_a_call_that_a_full_engine_refuses_is_sent_again_as_it_is(start_proxy, tmp_path, list_engine):
    engine = list_engine(poison="p", status=b"503 Service Unavailable", fails=1)
    proxy = start(start_proxy, tmp_path, [engine], merge="always", flush="fixed", batch_size=8, batch_timeout=30)
    answers = ask_all(proxy, [f"p{i}" for i in range(8)])
    assert {response.status for response, _ in answers} == {200}
    assert [len(prompts) for prompts in engine.calls] == [8, 8]


def test_pieces_and_shared_calls_have_ids_of_their_own_and_ask_for_plain_answers(start_proxy, tmp_path, list_engine):
    engine = list_engine()
    proxy = start(start_proxy, tmp_path, [engine], merge="always", flush="fixed", batch_size=4, batch_timeout=0.1)
    response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": [f"p{i}" for i in range(20)]},
                       {"X-Request-Id": "mine", "Accept-Encoding": "gzip"})
    assert response.status == 200 and response.headers["x-request-id"] == "mine"
    ask_all(proxy, [f"p{i}" for i in range(8)])
    ids = [line for head in engine.heads for line in head.splitlines() if line.startswith("x-request-id")]
    assert len(engine.heads) == len(set(ids)) >= 7
    assert not any("accept-encoding: gzip" in head for head in engine.heads)


def test_a_long_list_is_spread_and_comes_back_as_one_answer(start_proxy, start_engine):
    engines = [start_engine() for _ in range(4)]
    proxy = start_proxy(*[flag for engine in engines for flag in ("--backend", engine.url)]).ready(4)
    body = {"model": MODEL, "prompt": [f"Question {i}?" for i in range(100)], "max_tokens": 3, "n": 2,
            "temperature": 1, "seed": 7, "logprobs": 1}
    direct = json.loads(call(engines[0].url, "/v1/completions", body)[1])
    response, text = call(proxy.url, "/v1/completions", body)
    spread = json.loads(text)
    assert response.status == 200
    assert response.headers["x-batchproxy-backend"].count(",") == 3
    for answer_ in (direct, spread):
        del answer_["id"], answer_["created"]
    assert spread == direct


def test_an_error_in_a_list_is_the_engines_own(start_proxy, start_engine):
    engines = [start_engine() for _ in range(2)]
    proxy = start_proxy(*[flag for engine in engines for flag in ("--backend", engine.url)]).ready(2)
    body = {"model": MODEL, "prompt": [f"{'@@400@@' if i == 33 else i}" for i in range(64)], "max_tokens": 1}
    direct, direct_text = call(engines[0].url, "/v1/completions", body)
    response, text = call(proxy.url, "/v1/completions", body)
    assert response.status == direct.status == 400
    assert json.loads(text) == json.loads(direct_text)
