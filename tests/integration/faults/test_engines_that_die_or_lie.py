"""Rows 1 to 6: engines that die, hang or lie."""
import collections
import contextlib
import json
import threading
import time

import pytest

from tests.chaos import client as chaos_client
from tests.support.asking import call
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import STREAM_HEAD, answer, chunk, reset_on_close

from .helpers import (
    Hanging, ask, ask_all, asking, assert_all_right, assert_quiet, completion, connect, errors, failures, failures_told,
    figure, finished, logged, name_of, prompts_of, received, request_of)


@pytest.mark.parametrize("merge", ["off", "always"])
def test_row_01_backend_killed_in_mid_batch(serve, engines, merge):
    four = engines(4, latency=0.4)
    victim, *others = four
    proxy = serve(four, merge=merge)
    prompts = [f"{merge} {number}" for number in range(500)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: received([victim]).total() >= 10, "a batch to be under way")
        victim.kill()
        responses = asked.result()
    assert_all_right(responses, prompts)
    attempts = collections.Counter(response.headers["x-batchproxy-attempts"] for response in responses)
    assert set(attempts) == {"1", "2"}
    assert all(response.headers["x-batchproxy-backend"] != name_of(victim)
               for response in responses if response.headers["x-batchproxy-attempts"] == "2")
    assert max(received(others).values()) == 1, "asked for once each"
    told = failures_told(proxy)
    assert {backend for backend, _ in told} == {name_of(victim)} and told[name_of(victim), "reset"] >= 10
    assert sum(count for (_, reason), count in told.items() if reason in ("reset", "cut")) == attempts["2"]
    assert figure(proxy, "batchproxy_requests_retried_total") == sum(told.values())
    wait_until(lambda: finished(proxy, "ok") == 500, "all to be counted")
    logged(proxy, f"{name_of(victim)} .* is not ready: ")


def event(text, done=False):
    choices = json.dumps({"choices": [{"index": 0, "text": text}]}).encode()
    return chunk(b"data: %s\n\n" % (b"[DONE]" if done else choices))


def test_row_02_backend_killed_in_mid_stream_before_anything_was_passed_on(serve, scripted):
    dying = scripted(lambda number, *_: [lambda: reset_on_close(dying.carriers[number - 1]), None])
    healthy = scripted(lambda *_: [STREAM_HEAD, event("a"), event("", done=True) + b"0\r\n\r\n"])
    proxy = serve([dying, healthy])
    attempts = set()
    while "2" not in attempts:
        response, text = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "p", "stream": True})
        assert response.status == 200 and text.count(b"[DONE]") == 1 and text.count(b'"text": "a"') == 1
        attempts.add(response.headers["x-batchproxy-attempts"])
    assert attempts <= {"1", "2"}
    assert failures_told(proxy) == {(name_of(dying), "reset"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1
    assert figure(proxy, "batchproxy_streams_aborted_total") == 0


def test_row_02_backend_killed_in_mid_stream_after_that(serve, scripted):
    seen = threading.Event()
    dying = scripted(lambda *_: [STREAM_HEAD, event("a"), lambda: seen.wait(DEADLINE),
                                 lambda: reset_on_close(dying.carriers[0]), None])
    proxy = serve([dying, scripted(lambda *_: None)])
    while not dying.requests:
        with connect(proxy) as client:
            client.sendall(request_of("p", stream=True))
            data = b""
            while more := client.recv(65536):
                data += more
                if b'"text": "a"' in data:
                    seen.set()
    response = chaos_client.parse(data, eof=True)
    assert response.status == 200 and response.cut, "no last chunk"
    assert response.headers["x-batchproxy-backend"] == name_of(dying)
    assert b"[DONE]" not in data
    last = response.body.rstrip().rsplit(b"\n\n", 1)[-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "backend_lost"
    assert len(dying.requests) == 1, "it is not asked again"
    assert failures_told(proxy)[name_of(dying), "cut"] == 1
    assert figure(proxy, "batchproxy_streams_aborted_total") == 1
    assert errors(proxy, "backend_lost") >= 1 and finished(proxy, "backend_error") >= 1


def test_row_03_backend_that_hangs_is_left_for_another(serve, scripted):
    hanging = Hanging(scripted)
    healthy = scripted(lambda *_: answer())
    proxy = serve([hanging, healthy], attempt_timeout=0.3)
    for _ in range(30):
        response, _ = ask(proxy, "p")
        assert response.status == 200 and response.headers["x-batchproxy-backend"] == name_of(healthy)
        assert response.headers["x-batchproxy-attempts"] in ("1", "2")
    wait_until(lambda: hanging.closed == [1, 2, 3], "its engine to be told by the end of the connection")
    assert len(hanging.backend.requests) == 3, "after three in half a second the breaker opens"
    assert failures_told(proxy) == {(name_of(hanging), "timeout"): 3}
    logged(proxy, f"{name_of(hanging)}: its calls keep failing")
    assert figure(proxy, f'batchproxy_backend_breaker_open{{backend="{name_of(hanging)}"}}') == 1
    assert figure(proxy, "batchproxy_requests_retried_total") == 3


def test_row_03_shared_call_that_hangs_is_given_up_in_time(serve, scripted):
    """An attempt's time is limited in company, too; afterwards each goes alone."""
    def hang_on_lists(number, request, carried):
        if len(prompts_of(request)) == 1:
            return completion(prompts_of(request))
        with contextlib.suppress(OSError):
            backend.carriers[number - 1].recv(1)

    backend = scripted(hang_on_lists)
    proxy = serve([backend], merge="always", flush="fixed", batch_size=4, batch_timeout=30, attempt_timeout=0.3)
    begin = time.monotonic()
    for response in ask_all(proxy, [f"p{number}" for number in range(4)]):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"
    assert 0.3 <= time.monotonic() - begin < DEADLINE / 2
    assert [len(prompts_of(request)) for request in backend.requests] == [4, 1, 1, 1, 1]
    assert failures(proxy) == {(name_of(backend), "timeout"): 4}


def test_row_03_members_do_not_wait_for_a_hung_engine_in_turn(serve, scripted):
    """A call that is split up: once one of its parts has hung, the others are not sent after it."""
    def hang_once(number, request, carried):
        prompts = prompts_of(request)
        if len(backend.requests) == 2:
            with contextlib.suppress(OSError):
                backend.carriers[number - 1].recv(1)
            return None
        return completion(prompts, [0] if len(prompts) > 1 else None)

    backend = scripted(hang_once)
    proxy = serve([backend], merge="always", flush="fixed", batch_size=4, batch_timeout=30, attempt_timeout=0.3)
    for response in ask_all(proxy, [f"p{number}" for number in range(4)]):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"
    assert [len(prompts_of(request)) for request in backend.requests] == [4, 1, 1, 1, 1, 1]
    assert failures(proxy) == {(name_of(backend), "timeout"): 4}


def test_row_03_backend_that_hangs_alone_costs_a_504(serve, scripted):
    hanging = Hanging(scripted)
    proxy = serve([hanging], request_timeout=0.5)
    begin = time.monotonic()
    response, body = ask(proxy, "p")
    assert response.status == 504 and body["error"]["code"] == "backend_timeout"
    assert 0.5 <= time.monotonic() - begin < DEADLINE / 2
    wait_until(lambda: hanging.closed == [1], "its connection to be closed")
    assert failures_told(proxy) == {(name_of(hanging), "timeout"): 1}
    assert finished(proxy, "timeout") == errors(proxy, "backend_timeout") == 1


@pytest.mark.parametrize("garbage", [
    b"\x00\x01\x02 this is no HTTP \xff\r\n\r\n",
    answer(b"<html>It works!</html>").replace(b"application/json", b"text/html"),
    answer(b'{"choices":[{"te'),
], ids=["no HTTP", "wrong type", "no JSON"])
def test_row_04_garbage(serve, scripted, garbage):
    broken, healthy = scripted(lambda *_: garbage), scripted(lambda *_: answer())
    proxy = serve([broken, healthy])
    while not broken.requests:
        response, body = ask(proxy, "p")
        assert response.status == 200 and body == {"choices": [{"text": "ok"}]}
    assert response.headers["x-batchproxy-attempts"] == "2"
    assert failures_told(proxy) == {(name_of(broken), "garbage"): 1}

    alone = scripted(lambda *_: garbage)
    proxy = serve([alone])
    response, body = ask(proxy, "p")
    assert response.status == 502 and body["error"]["code"] == "bad_backend_response"
    assert response.headers["x-batchproxy-code"] == "bad_backend_response"
    assert "It works" not in str(body) and set(body) == {"error"}
    assert len(alone.requests) == 2
    assert failures_told(proxy) == {(name_of(alone), "garbage"): 2}
    wait_until(lambda: finished(proxy, "backend_error") == 1, "all to be counted")


WRONG_INDICES = {"one missing": [0, 1, 2], "one too many": [0, 1, 2, 3, 4], "twice the same": [0, 1, 1, 3],
                 "out of range": [0, 1, 2, 7], "none": []}


@pytest.mark.parametrize("indices", WRONG_INDICES.values(), ids=WRONG_INDICES)
def test_row_05_wrong_choices_in_a_shared_call(serve, scripted, indices):
    """Never guess: each member is sent alone."""
    liar = scripted(lambda number, request, carried: completion(
        prompts_of(request), indices if len(prompts_of(request)) > 1 else None))
    proxy = serve([liar], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    prompts = [f"p{number}" for number in range(4)]
    for prompt, response in zip(prompts, ask_all(proxy, prompts)):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
        assert [choice["text"] for choice in json.loads(response.body)["choices"]] == [f"<{prompt}>"]
    assert sorted(len(prompts_of(request)) for request in liar.requests) == [1, 1, 1, 1, 4]
    assert figure(proxy, "batchproxy_batch_mismatch_total") == 1
    logged(proxy, f"a list answer of {name_of(liar)} could not be taken apart; its members are sent alone")
    assert failures(proxy) == {}
    wait_until(lambda: finished(proxy, "ok") == 4, "all to be counted")


def test_row_05_wrong_choices_in_a_clients_list(serve, scripted):
    lies = []
    liar = scripted(lambda number, request, carried: completion(
        prompts_of(request), lies.pop() if lies and len(prompts_of(request)) == 2 else None))
    proxy = serve([liar], batch_size=2)
    lies[:] = [[0]]
    response, body = ask(proxy, ["a", "b", "c", "d"])
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [
        (index, f"<{letter}>") for index, letter in enumerate("abcd")]
    assert failures_told(proxy) == {(name_of(liar), "choice_count"): 1}
    lies[:] = [[0]] * 4
    response, body = ask(proxy, ["a", "b", "c", "d"])
    assert response.status == 502 and body["error"]["code"] == "choice_count_mismatch"
    assert set(body) == {"error"}
    assert failures_told(proxy)[name_of(liar), "choice_count"] >= 3
    assert finished(proxy, "backend_error") == errors(proxy, "choice_count_mismatch") == 1


def test_row_06_choices_out_of_order(serve, scripted):
    """The index says whose each is."""
    shuffled = scripted(lambda number, request, carried: completion(
        prompts_of(request), list(range(len(prompts_of(request))))[::-1]))
    proxy = serve([shuffled], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    prompts = [f"p{number}" for number in range(4)]
    for prompt, response in zip(prompts, ask_all(proxy, prompts)):
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
        assert [choice["text"] for choice in json.loads(response.body)["choices"]] == [f"<{prompt}>"]
    response, body = ask(proxy, [f"q{number}" for number in range(8)])  # in two calls
    assert response.status == 200
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [
        (index, f"<q{index}>") for index in range(8)]
    assert figure(proxy, "batchproxy_batch_mismatch_total") == 0
    assert_quiet(proxy)
