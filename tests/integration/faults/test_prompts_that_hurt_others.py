"""Rows 7 to 9: prompts that hurt others."""
import contextlib
import threading
import time

import pytest

from tests.support.asking import call
from tests.support.failing_engine import text_of
from tests.support.waiting import wait_until
from tests.support.wire import answer

from .helpers import (
    BlackHole, ask, ask_all, assert_all_right, assert_quiet, errors, failures_told, figure, finished, logged, name_of,
    received)


@pytest.mark.parametrize("row, status", [("07", 500), ("08", 400)])
def test_row_07_08_refusal_of_a_shared_call(serve, engines, row, status):
    [engine] = engines(1)
    proxy = serve([engine], merge="always", flush="fixed", batch_size=16, batch_timeout=30)
    prompts = [f"p{number}" for number in range(15)] + [f"the bad one @{status}"]
    *good, bad = ask_all(proxy, prompts)
    assert_all_right(good, prompts[:15])
    assert bad.status == status and bad.headers["x-batchproxy-attempts"] == "1" and bad.code is None
    alone = call(engine.url, "/v1/completions", {"model": "m", "prompt": prompts[-1]})
    assert bad.body == alone[1], "byte for byte the engine's own"
    assert figure(proxy, "batchproxy_batch_splits_total") == 4  # of 16, 8, 4 and 2
    assert sum(what == "received" for _, what, _, _ in engine.events()) == 1 + 4 * 2 + 1
    if status == 400:
        assert_quiet(proxy)
        wait_until(lambda: finished(proxy, "client_error") == 1, "all to be counted")
    else:
        assert failures_told(proxy) == {(name_of(engine), "status"): 1}
        wait_until(lambda: finished(proxy, "backend_error") == 1, "all to be counted")
    assert figure(proxy, f'batchproxy_backend_breaker_open{{backend="{name_of(engine)}"}}') == 0
    assert figure(proxy, "batchproxy_requests_retried_total") == 0


class Supervisor:
    """Restarts engines that have ended, half a second later; knows how many were up at the worst time."""

    def __init__(self, engines):
        self.engines, self.fewest, self.over = engines, len(engines), threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        due = {}
        while not self.over.wait(0.02):
            down = [engine for engine in self.engines if not engine.running()]
            self.fewest = min(self.fewest, len(self.engines) - len(down))
            for engine in down:
                if time.monotonic() > due.setdefault(engine, time.monotonic() + 0.5):
                    del due[engine]
                    engine.start()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("merge", ["off", "always"])
def test_row_09_query_of_death(serve, engines, merge):
    four = engines(4, latency=0.1)
    proxy = serve(four, merge=merge)
    mates = [f"mate {number}" for number in range(60)]
    deadly = "the end @crash"
    with Supervisor(four) as supervisor:
        *good, bad = ask_all(proxy, [*mates, deadly])
        assert_all_right(good, mates)
        assert bad.status == 502 and bad.code == "poison_prompt" and bad.headers["x-should-retry"] == "false"
        deaths = sum(what == "failed" and rest == "crash" for engine in four for _, what, _, rest in engine.events())
        assert deaths == 3 and supervisor.fewest >= 1
        [again] = ask_all(proxy, [deadly])
        assert again.status == 422 and again.code == "known_poison" and again.headers["x-should-retry"] == "false"
        assert received(four)[text_of(deadly)] == 3
        assert_all_right(ask_all(proxy, mates), mates)
    logged(proxy, "1 requests brought down three engines each and are not sent again")
    assert figure(proxy, "batchproxy_poison_prompts_total") == 1
    assert errors(proxy, "poison_prompt") == errors(proxy, "known_poison") == 1
    assert {reason for _, reason in failures_told(proxy)} <= {"reset", "cut", "refused"}


def test_row_09_death_over_a_kept_connection_counts_whatever_follows(serve, scripted):
    """The request was sent, so the engine may have died of it, even if nobody can say so by refusing."""
    healthy = scripted(lambda *_: answer())
    with contextlib.closing(BlackHole()) as hole:
        proxy = serve([hole, healthy], io_threads=1, health_interval=60, connect_timeout=0.2, metrics_interval=60)
        while not hole.over:
            response, _ = ask(proxy, "p")
            assert response.status == 200
        assert response.headers["x-batchproxy-attempts"] == "2"
        assert response.headers["x-batchproxy-backend"] == name_of(healthy)
        assert failures_told(proxy) == {(name_of(hole), "reset"): 1}
        assert figure(proxy, "batchproxy_requests_retried_total") == 1
