"""A real vLLM as an engine: what batchproxy learns of it, what of its clients reaches it, and how it fails."""
import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import time

import pytest

from tests.support.asking import call
from tests.support.proxy import Proxy
from tests.support.waiting import alive, wait_until

from ..compatibility import VLLM, row
from .engines import MODEL, launched, proxy_before as before

pytestmark = pytest.mark.full("vllm")
COMPLETIONS = "/v1/completions"


def behaves(shows, difference=""):
    return row("plain HTTP", COMPLETIONS, shows, VLLM, difference)


def ask(url, prompt, **fields):
    """(status, texts) of one completion."""
    body = {"model": MODEL, "prompt": prompt, "max_tokens": 8, "temperature": 0, **fields}
    response, text = call(url, COMPLETIONS, body)
    answer = json.loads(text)
    return response.status, [choice["text"] for choice in answer["choices"]] if "choices" in answer else answer


def ask_all(url, prompts, workers, **fields):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda prompt: ask(url, prompt, **fields), prompts))


def questions(count, words=12):
    return [f"Question {i}: " + "which of them? " * words for i in range(count)]


@pytest.fixture(scope="module")
def one(vllm_engines, tmp_path_factory):
    """batchproxy in front of one engine, and that engine."""
    with before(tmp_path_factory.mktemp("one"), vllm_engines[:1]) as proxy:
        yield proxy, vllm_engines[0]


@pytest.fixture(scope="module")
def two(vllm_engines, tmp_path_factory):
    with before(tmp_path_factory.mktemp("two"), vllm_engines) as proxy:
        yield proxy, vllm_engines


# --- what is learnt of it -------------------------------------------------------------------------

@row("plain HTTP", "/v1/models", "found with its model by its address alone", VLLM)
def test_an_engine_is_discovered(one):
    proxy, engine = one
    [backend] = proxy.status()["backends"]
    assert backend["state"] == "ready" and backend["url"] == engine.url
    listed = json.loads(call(proxy.url, "/v1/models")[1])["data"]
    assert [(model["id"], model["max_model_len"]) for model in listed] == [(MODEL, 8192)]


@behaves("128 clients of an engine that runs 16 at once: its room is learnt from its metrics")
def test_the_room_of_an_engine_is_learnt(vllm_engines, tmp_path):
    with before(tmp_path, vllm_engines[:1], metrics_interval=0.1) as proxy:
        first = proxy.status()["backends"][0]["room"]
        answers = ask_all(proxy.url, questions(400), 128, max_tokens=32)
        assert {status for status, _ in answers} == {200}
        learnt = proxy.status()["backends"][0]["room"]
        print(f"\nroom of an engine that runs 16 at once: {first} at first, {learnt} under load")
        assert 16 <= learnt < first


@behaves("questions on one text go to the engine that has it in its cache")
def test_beginnings_go_where_they_are_cached(two):
    proxy, engines = two
    passages = [f"Passage {i}. " + f"the {i} of it all, " * 100 for i in range(6)]
    before_it = [(engine.metric("vllm:prefix_cache_hits_total"), engine.metric("vllm:prefix_cache_queries_total"))
                 for engine in engines]
    for round_of_questions in range(5):
        for passage in passages:
            assert ask(proxy.url, f"{passage} Question {round_of_questions}?")[0] == 200
    hits, queries = (sum(engine.metric(name) - past[at] for engine, past in zip(engines, before_it, strict=True))
                     for at, name in enumerate(["vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"]))
    print(f"\nprefix hits of two engines: {hits / queries:.2f} of the tokens; one engine alone could have 0.8")
    assert hits / queries > 0.6


# --- clients that leave, and connections that rest ------------------------------------------------

@pytest.mark.parametrize("what, fields", [
    pytest.param(name, fields, id=name, marks=behaves(f"a client leaves: {name}, and the engine is free"))
    for name, fields in (("one prompt", {}), ("a stream", {"stream": True}), ("a list", {"prompt": ["one", "two"]}),
                         ("`n`", {"n": 3, "temperature": 1}))])
def test_the_engine_hears_of_a_client_that_leaves(one, what, fields):
    proxy, engine = one
    body = json.dumps({"model": MODEL, "prompt": "one", "max_tokens": 8000, "ignore_eos": True, **fields}).encode()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                       b"content-length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: engine.metric("vllm:num_requests_running"), "the engine to begin")
    left = time.monotonic()
    wait_until(engine.is_idle, "the engine to be free")
    print(f"\n{what}: the engine was free {time.monotonic() - left:.2f} s after its client had left")


@behaves("calls after pauses about as long as vLLM keeps a connection")
def test_kept_connections_are_not_asked_too_late(vllm_template, tmp_path):
    with vllm_template.engine(environment={"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "1"}) as engine, \
            before(tmp_path, [engine]) as proxy:
        for pause in (0.9, 0.98, 1.0, 1.02, 1.1) * 2:
            assert {status for status, _ in ask_all(proxy.url, questions(8), 8, max_tokens=1)} == {200}
            time.sleep(pause)  # the pause is what is tested
        assert proxy.status()["requests"]["retried"] == 0


# --- calls that are shared, and lists that are split ----------------------------------------------

@behaves("64 clients whose requests share calls (`merge: always`)")
def test_shared_calls_give_the_answers_of_single_ones(vllm_engines, tmp_path):
    prompts = questions(64)
    direct = ask_all(vllm_engines[0].url, prompts, 1)
    with before(tmp_path, vllm_engines, merge="always") as proxy:
        assert ask_all(proxy.url, prompts, 64) == direct
        assert proxy.status()["requests"]["merged"] > 0


@behaves("too long prompts and strange token ids in shared calls: each has its own 400, the others their answers")
def test_one_bad_member_does_not_spoil_a_shared_call(vllm_engines, tmp_path):
    prompts = [*questions(40), *["word " * 20000] * 4, *[[70, 100000]] * 4]
    direct = ask_all(vllm_engines[0].url, prompts, 4)
    assert [status for status, _ in direct] == [200] * 40 + [400] * 8
    with before(tmp_path, vllm_engines, merge="always") as proxy:
        assert ask_all(proxy.url, prompts, 48) == direct


@behaves("a list of 200 prompts over two engines")
def test_a_list_is_split_over_the_engines(two):
    proxy, engines = two
    prompts = questions(200)
    done = [engine.metric("vllm:request_success_total") for engine in engines]
    assert ask(proxy.url, prompts, max_tokens=2) == ask(engines[0].url, prompts, max_tokens=2)
    assert engines[1].metric("vllm:request_success_total") - done[1] > 20


# --- its own back-pressure ------------------------------------------------------------------------

@behaves("its 503 under `--max-num-queued-reqs` is seen by no client")
def test_a_full_engine_is_waited_for(vllm_template, tmp_path):
    with vllm_template.engine("--max-num-queued-reqs", "4") as engine, before(tmp_path, [engine]) as proxy:
        prompts = questions(120)
        refused = [status for status, _ in ask_all(engine.url, prompts, 60, max_tokens=32) if status != 200]
        assert set(refused) == {503}
        answers = ask_all(proxy.url, prompts, 60, max_tokens=32)
        print(f"\n60 clients of an engine that takes 4 more than it runs: {len(refused)} of 120 refused directly")
        assert {status for status, _ in answers} == {200}


# --- its death ------------------------------------------------------------------------------------

@pytest.mark.parametrize("part", [
    pytest.param(part, id=part, marks=behaves(f"{what} of one of two engines is killed under load and restarted"))
    for part, what in (("core", "the engine core"), ("worker", "a worker"), ("server", "the API server"))])
def test_a_killed_engine_costs_no_answer(vllm_template, vllm_engines, tmp_path, part):
    prompts = questions(500)
    direct = ask_all(vllm_engines[0].url, prompts, 16)
    with vllm_template.engine("--distributed-executor-backend", "mp" if part == "worker" else "uni") as victim, \
            before(tmp_path, [victim, vllm_engines[1]]) as proxy, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        everybody = pool.submit(ask_all, proxy.url, prompts, 64)
        wait_until(lambda: victim.metric("vllm:request_success_total") > 20, "the load")
        os.kill({"core": victim.core, "worker": victim.worker, "server": lambda: victim.pid}[part](), signal.SIGKILL)
        victim.wait_for_end()
        victim.kill()  # an engine core that outlives its server
        assert everybody.result() == direct
        assert proxy.status()["requests"]["retried"]
        victim.start()
        victim.ready()
        wait_until(lambda: proxy.status()["backends"][0]["state"] == "ready", "the new engine to be taken in")
        assert ask_all(proxy.url, prompts, 64) == direct
        assert victim.metric("vllm:request_success_total") > 0


@behaves("the only engine's core is killed with 8 requests in it, and the engine comes back")
def test_requests_wait_for_the_only_engine(vllm_template, tmp_path):
    prompts = questions(8)
    with vllm_template.engine() as engine, before(tmp_path, [engine]) as proxy, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        direct = ask_all(engine.url, prompts, 8, max_tokens=200)
        everybody = pool.submit(ask_all, proxy.url, prompts, 8, max_tokens=200)
        wait_until(lambda: engine.metric("vllm:num_requests_running") == 8, "all of them to run")
        os.kill(engine.core(), signal.SIGKILL)
        engine.wait_for_end()
        engine.kill()
        engine.start()
        assert everybody.result() == direct


@behaves("SIGTERM of batchproxy under load: what it has taken is answered")
def test_a_proxy_that_drains_answers_all_that_it_has_taken(vllm_engines, tmp_path):
    prompts = questions(48)
    direct = ask_all(vllm_engines[0].url, prompts, 16, max_tokens=32)
    proxy = Proxy([flag for engine in vllm_engines for flag in ("--backend", engine.url)], tmp_path)
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(1) as pool:
        stack.callback(proxy.stop)
        proxy.ready(2)
        everybody = pool.submit(ask_all, proxy.url, prompts, 48, max_tokens=32)
        wait_until(lambda: proxy.status()["requests"]["received"] == 48, "all of them")
        assert proxy.stop(signal.SIGTERM) == 0
        assert everybody.result() == direct


# --- started by batchproxy ------------------------------------------------------------------------

@behaves("started by batchproxy (`launcher.gpus` and a CPU's variables), stopped without leaving a process")
def test_an_engine_that_batchproxy_starts(vllm_model, tmp_path):
    started = time.monotonic()
    with launched(tmp_path, vllm_model) as proxy:
        print(f"\na vLLM started by batchproxy was ready after {time.monotonic() - started:.0f} s")
        [pid] = proxy.engine_pids(1)
        assert ask(proxy.url, "one")[0] == 200
        group = os.getpgid(pid)
    wait_until(lambda: not alive(pid), "its end")
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
