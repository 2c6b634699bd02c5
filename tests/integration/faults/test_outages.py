"""Rows 30 to 33 and 36: engines that come and go, or stay bad."""
import asyncio
import collections
import contextlib
import json
import threading
import time

import pytest

from tests.chaos import client as chaos_client
from tests.support.asking import call
from tests.support.failing_engine import text_of
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

from .helpers import (
    BlackHole, ask, ask_all, asking, assert_all_right, errors, failures, failures_told, figure, finished, logged,
    name_of, received, request_of)


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["refused", "reset", "garbage", "500", "stall"])
def test_row_30_one_backend_of_four_is_permanently_bad(serve, engines, fault):
    latency, slots, count = 0.2, 8, 480
    four = engines(4, latency=latency, slots=slots)
    bad = four[0]
    if fault == "refused":
        bad.kill()
    proxy = serve(four, ready=3 if fault == "refused" else 4, stuck_timeout=1)
    if fault != "refused":
        assert asyncio.run(bad.fault(fault, 600))
    prompts = [f"{fault} {number}" for number in range(count)]
    begun = time.monotonic()
    responses = ask_all(proxy, prompts)
    took = time.monotonic() - begun
    assert_all_right(responses, prompts)
    assert {response.headers["x-batchproxy-attempts"] for response in responses} <= {"1", "2"}
    of_three = count / (3 * slots / latency)
    assert took <= of_three / 0.7 + (1 if fault == "stall" else 0), f"three engines alone would take {of_three:.1f} s"
    known = sum(failures(proxy).values())
    assert known <= count / 4, "it got less than its share before it was known to be bad"
    begun = time.monotonic()
    assert_all_right(ask_all(proxy, prompts), prompts)
    probes = 2 + (time.monotonic() - begun) / 5  # Breaker::kPause
    assert sum(failures(proxy).values()) - known <= probes, failures(proxy)


def test_row_31_all_down_then_up(serve, engines):
    four = engines(4)
    proxy = serve(four)
    for engine in four:
        engine.kill()
    logged(proxy, r"no backend is ready; requests wait for one for up to 110 s \(hold_timeout\)")
    assert call(proxy.admin, "/readyz")[0].status == 503
    wait_until(lambda: call(proxy.url, "/health")[0].status == 503, "GET /health")
    prompts = [f"p{number}" for number in range(500)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 500, "all to be held")
        four[2].start()
        responses = asked.result()
    assert_all_right(responses, prompts)
    assert {response.headers["x-batchproxy-attempts"] for response in responses} == {"1"}
    assert received(four) == {text_of(prompt): 1 for prompt in prompts}, "each once"
    logged(proxy, "a backend is ready again; 500 requests have waited for it")
    assert failures(proxy) == {} and figure(proxy, "batchproxy_requests_retried_total") == 0
    wait_until(lambda: finished(proxy, "ok") == 500, "all to be counted")


def test_row_31_all_down_for_too_long(serve, engines):
    [engine] = engines(1)
    proxy = serve([engine], hold_timeout=0.3)
    engine.kill()
    logged(proxy, r"no backend is ready; requests wait for one for up to 0.3 s \(hold_timeout\)")
    begin = time.monotonic()
    responses = ask_all(proxy, [f"p{number}" for number in range(100)])
    assert 0.3 <= time.monotonic() - begin < DEADLINE / 2
    assert {(response.status, response.code) for response in responses} == {(503, "no_backend")}
    assert all(int(response.headers["retry-after"]) > 0 for response in responses)
    assert errors(proxy, "no_backend") == finished(proxy, "shed") == 100
    engine.start()
    proxy.ready(1)
    assert_all_right(ask_all(proxy, ["after"]), ["after"])
    assert received([engine]) == {text_of("after"): 1}


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"503 Service Unavailable"])
def test_row_32_backend_asks_to_wait(serve, scripted, status):
    times = []

    def shy(number, request, carried):
        times.append(time.monotonic())
        return answer(b'{"error":{"message":"busy"}}', status, b"retry-after: 1\r\n") if number == 1 else answer()

    busy, free = scripted(shy), scripted(lambda *_: answer())
    proxy = serve([busy, free])
    attempts = collections.Counter()

    def both_asked():
        response, _ = ask(proxy, "p")
        assert response.status == 200
        attempts[response.headers["x-batchproxy-attempts"]] += 1
        return len(times) >= 2

    wait_until(both_asked, "the pause to end")
    assert times[1] - times[0] >= 1, "left alone for as long as it has asked"
    assert attempts["2"] == 1 and set(attempts) == {"1", "2"}
    assert len(free.requests) > 5, "the others were served meanwhile"
    assert failures_told(proxy) == {(name_of(busy), "status"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1
    assert figure(proxy, f'batchproxy_backend_breaker_open{{backend="{name_of(busy)}"}}') == 0


def test_row_33_late_answer_of_an_abandoned_attempt(serve, scripted):
    release, written = threading.Event(), threading.Event()

    def tell():
        written.set()

    late = scripted(lambda *_: [lambda: release.wait(DEADLINE), answer(b'{"choices":[{"text":"late"}]}'), tell])
    prompt = scripted(lambda number, *_: answer(b'{"choices":[{"text":"in time, %d"}]}' % number))
    proxy = serve([late, prompt], attempt_timeout=0.5, io_threads=1)

    async def talk():
        """On one connection: whatever came late would stand in front of the next answer."""
        wire, attempts, number = await chaos_client.connect(proxy.address), [], 0
        while not attempts or attempts[-1] == "1":
            number += 1
            response = await asyncio.wait_for(wire.exchange(request_of("p")), DEADLINE)
            assert response.status == 200 and not response.extra
            assert json.loads(response.body) == {"choices": [{"text": f"in time, {number}"}]}
            attempts.append(response.headers["x-batchproxy-attempts"])
        release.set()
        assert await asyncio.to_thread(wait_until, lambda: written.is_set() or not late_open(), "the late answer")
        for _ in range(5):
            number += 1
            response = await asyncio.wait_for(wire.exchange(request_of("p")), DEADLINE)
            if response.headers["x-batchproxy-backend"] == name_of(late):
                assert b"late" in response.body  # it is in time now
                number -= 1
            else:
                assert json.loads(response.body) == {"choices": [{"text": f"in time, {number}"}]}
        assert not wire.unasked
        wire.close()
        return attempts

    def late_open():
        return late.carriers[0].fileno() >= 0

    attempts = asyncio.run(talk())
    assert attempts[-1] == "2"
    assert failures_told(proxy) == {(name_of(late), "timeout"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1
    wait_until(lambda: finished(proxy, "ok") == len(attempts) + 5, "all to be counted")


def test_row_36_connection_refused(serve, engines):
    """Nobody looks at its health for a minute: the call finds out."""
    gone, healthy = engines(2)
    proxy = serve([gone, healthy], health_interval=60)
    gone.kill()
    prompts = [f"p{number}" for number in range(40)]
    responses = ask_all(proxy, prompts)
    assert_all_right(responses, prompts)
    assert {response.headers["x-batchproxy-attempts"] for response in responses} == {"1"}, "nothing was sent to it"
    told = failures_told(proxy)
    assert set(told) == {(name_of(gone), "refused")}
    assert figure(proxy, "batchproxy_requests_retried_total") == told[name_of(gone), "refused"] >= 1
    logged(proxy, f"{name_of(gone)} .* is not ready: it refuses connections")
    assert figure(proxy, f'batchproxy_backend_up{{backend="{name_of(gone)}"}}') == 0
    assert received([gone]) == {}


def test_row_36_unroutable_address(serve, scripted):
    healthy = scripted(lambda *_: answer())
    with contextlib.closing(BlackHole()) as hole:
        proxy = serve([hole, healthy], health_interval=60, connect_timeout=0.2, metrics_interval=60)
        hole.vanish()
        responses = ask_all(proxy, ["p"] * 8)
        assert {(response.status, response.headers["x-batchproxy-backend"], response.headers["x-batchproxy-attempts"])
                for response in responses} == {(200, name_of(healthy), "1")}
        told = failures_told(proxy)
        assert set(told) == {(name_of(hole), "unreachable")}
        assert figure(proxy, "batchproxy_requests_retried_total") == told[name_of(hole), "unreachable"] >= 1
        wait_until(lambda: finished(proxy, "ok") == 8, "all to be counted")
