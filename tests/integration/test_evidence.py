"""What tells against an engine, and what does not: deaths in every disguise, engines that are full, that stand still, that
one client alone has trouble with; requests that cannot be in time. docs/DESIGN.md has the table of rules."""
import concurrent.futures
import contextlib
import json
import socket
import threading
import time

import pytest

from tests.support.asking import call, complete
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

DEAD = json.dumps({"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
                             "type": "InternalServerError", "param": None, "code": 500}}).encode()
FAILED = json.dumps({"error": {"message": "The server had an error while processing your request.",
                               "type": "InternalServerError", "param": None, "code": 500}}).encode()
FULL = json.dumps({"error": {"message": "The engine is currently busy and cannot accept new requests.",
                             "type": "Service Unavailable", "param": None, "code": 503}}).encode()


@pytest.fixture
def serve(start_proxy, tmp_path):
    def make(backends, slots=(), worker=None, **keys):
        entries = [{"url": b.url} for b in backends]
        for entry, count in zip(entries, slots):
            entry["max_num_seqs"] = count
        settings = {"health_interval": 0.1, "metrics_interval": 0.1, "backends": entries, **keys}
        model = {"model": {"generator_settings": worker}} if worker else {}
        (tmp_path / "c.yaml").write_text(json.dumps({**model, "batchproxy": settings}))
        return start_proxy("--config", tmp_path / "c.yaml").ready(len(backends))

    return make


def ask(proxy, prompt="p", **headers):
    body = {"model": "m", "prompt": prompt, "max_tokens": 1}
    return call(proxy.url, "/v1/completions", body, headers)


def ask_all(proxy, prompts, **headers):
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(lambda prompt: ask(proxy, prompt, **headers)[0], prompts))


def leave_after(seconds, proxy, prompt):
    """A client that asks, waits so long and is gone."""
    host, port = proxy.url.removeprefix("http://").rsplit(":", 1)
    body = json.dumps({"model": "m", "prompt": prompt, "max_tokens": 1}).encode()
    connection = socket.create_connection((host, int(port)), DEADLINE)
    connection.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                       b"content-length: %d\r\n\r\n%s" % (len(body), body))
    threading.Timer(seconds, connection.close).start()


def state(proxy, backend):
    return next(b for b in proxy.status()["backends"] if b["url"] == backend.url)


def breaker_is_open(proxy, backend):
    return "breaker" in state(proxy, backend)


# --- deaths -------------------------------------------------------------------------------------

def test_an_engine_that_says_that_it_is_dead_costs_no_answer(serve, scripted):
    """vLLM tells everybody in flight with a 500, then ends; when it is back all are answered."""
    gate = threading.Barrier(8)

    def die(number, request, carried):
        if number > 8:
            return answer()
        gate.wait(DEADLINE)
        backend.health = b"503 Service Unavailable"
        if number == 8:
            threading.Timer(0.3, lambda: setattr(backend, "health", b"200 OK")).start()
        return answer(DEAD, b"500 Internal Server Error")

    backend = scripted(die)
    proxy = serve([backend])
    answers = ask_all(proxy, [f"p{i}" for i in range(8)])
    assert [response.status for response in answers] == [200] * 8
    assert {response.headers["x-batchproxy-attempts"] for response in answers} == {"2"}


def test_a_simulated_vllm_that_dies_costs_no_answer(start_proxy, start_engine):
    """The only engine, with 32 requests; it is started again on its port."""
    engine = start_engine("--sim-die-after", "33")
    port = engine.url.rsplit(":", 1)[1]
    proxy = start_proxy("--backend", engine.url).ready(1)
    with concurrent.futures.ThreadPoolExecutor(33) as pool:
        asked = [pool.submit(complete, proxy.url, f"p{i}", max_tokens=400) for i in range(33)]
        engine.process.wait(DEADLINE)
        start_engine("--port", port)
        assert [one.result()[0].status for one in asked] == [200] * 33
    assert 1 <= sum(one.result()[0].headers["x-batchproxy-attempts"] == "2" for one in asked)


def test_a_500_whose_engine_is_down_right_after_is_a_death(serve, scripted):
    """Whatever its words: /health tells."""
    def die(number, request, carried):
        if number > 1:
            return answer()
        backend.health = b"503 Service Unavailable"
        threading.Timer(0.3, lambda: setattr(backend, "health", b"200 OK")).start()
        return answer(FAILED, b"500 Internal Server Error")

    backend = scripted(die)
    response, _ = ask(serve([backend]))
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "2"


def test_a_prompt_that_kills_engines_by_500s_costs_three(serve, scripted):
    def die(number, request, carried):
        return answer(DEAD, b"500 Internal Server Error") if b"KILL" in request else answer()

    backends = [scripted(die) for _ in range(6)]
    proxy = serve(backends)
    response, text = ask(proxy, "KILL")
    assert response.status == 502 and json.loads(text)["error"]["code"] == "poison_prompt"
    assert sum(len(backend.requests) for backend in backends) == 3
    assert ask(proxy, "KILL")[0].status == 422
    assert ask(proxy, "fine")[0].status == 200


# --- one client's trouble -----------------------------------------------------------------------

@pytest.mark.alone  # failures that are further apart are no burst
@pytest.mark.parametrize("bad", [answer(FAILED, b"500 Internal Server Error"), answer(b"", b"500 Internal Server Error"),
                                 answer(FAILED, b"501 Not Implemented"), answer(b'{"choices":[{"logprob":NaN}]}'), None],
                         ids=["500", "empty 500", "501", "NaN", "reset"])
@pytest.mark.parametrize("count", [1, 2])
def test_one_clients_failures_open_no_breaker(serve, scripted, bad, count):
    backends = [scripted(lambda number, request, carried: bad if b"BAD" in request else answer()) for _ in range(count)]
    proxy = serve(backends)
    for number in range(12):
        assert ask(proxy, f"BAD {number}")[0].status >= 500
    assert not any(breaker_is_open(proxy, backend) for backend in backends)
    response, _ = ask(proxy, "good")
    assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"


def test_a_requests_own_deadline_tells_nothing_of_the_engine(serve, scripted):
    def slow(number, request, carried):
        if b"SLOW" in request:
            with contextlib.suppress(OSError):
                backend.carriers[number - 1].recv(1)  # until it is given up
            return None
        return answer()

    backend = scripted(slow)
    proxy = serve([backend])
    for number in range(6):
        assert ask(proxy, f"SLOW {number}", **{"x-stainless-read-timeout": "0.2"})[0].status == 504
    assert not breaker_is_open(proxy, backend)
    assert ask(proxy)[0].status == 200


# --- full ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("status", [b"503 Service Unavailable", b"429 Too Many Requests"])
def test_a_full_engine_is_sent_what_it_takes_and_the_rest_waits(serve, scripted, status):
    slots, most = threading.Semaphore(4), []

    def take(number, request, carried):
        if not slots.acquire(blocking=False):
            return answer(FULL, status)
        try:
            time.sleep(0.05)  # its work
            return answer()
        finally:
            slots.release()

    backend = scripted(take)
    proxy = serve([backend])
    answers = ask_all(proxy, [f"p{i}" for i in range(48)])
    assert [response.status for response in answers] == [200] * 48
    assert {response.headers["x-batchproxy-attempts"] for response in answers} == {"1"}
    assert state(proxy, backend)["room"] < 16 and not breaker_is_open(proxy, backend)


# --- standing still -----------------------------------------------------------------------------

class Stuck:
    """Takes requests, and never gets on with them; its /health and its /metrics know of no trouble."""

    def __init__(self, scripted):
        self.free, self.answered, self.left = threading.Event(), 0, 0
        self.backend = scripted(self.serve, pages={"/metrics": self.metrics})
        self.url = self.backend.url

    def metrics(self):
        running = 0 if self.free.is_set() else len(self.backend.requests)
        return (f"vllm:num_requests_running {running}\nvllm:num_requests_waiting 0\n"
                f"vllm:iteration_tokens_total_count {1000 + self.answered}\n").encode()

    def serve(self, number, request, carried):
        self.free.wait(DEADLINE)
        self.answered += 1
        return answer(b'{"choices":[{"text":"late"}]}')


def test_what_a_stuck_engine_holds_is_asked_elsewhere(serve, scripted):
    stuck, well = Stuck(scripted), scripted(lambda *_: answer())
    proxy = serve([stuck, well], stuck_timeout=0.5)
    answers = ask_all(proxy, [f"p{i}" for i in range(16)])
    assert [response.status for response in answers] == [200] * 16
    held = [response for response in answers if response.headers["x-batchproxy-attempts"] == "2"]
    assert 1 <= len(held) == len(stuck.backend.requests) < 16
    wait_until(lambda: "stands still" in proxy.output(), "the log to name it")
    assert breaker_is_open(proxy, stuck) and not breaker_is_open(proxy, well)
    assert state(proxy, stuck)["stuck"] and "stuck" not in state(proxy, well)
    assert ask(proxy)[0].headers["x-batchproxy-attempts"] == "1", "nothing more is sent to it"


def test_who_was_on_each_engine_of_an_outage_is_not_blamed_for_it(serve, scripted):
    """All end within a second, one after another, just as the next is asked."""
    began = []

    def die(number, request, carried):
        began.append(time.monotonic())
        return answer(DEAD, b"500 Internal Server Error") if time.monotonic() - began[0] < 1 else answer()

    response, _ = ask(serve([scripted(die) for _ in range(6)]))
    assert response.status == 200


def test_a_killer_that_stood_still_first_is_with_no_two_engines_and_ends_three(serve, scripted):
    """The first that gets it stands still, all others die of it. Both calls are of one request; its last try is alone, and blames it."""
    asked, given_up = [], threading.Event()

    def work(backend, carried_by):
        asked.append(backend)
        if len(asked) > 1:
            return answer(DEAD, b"500 Internal Server Error")
        if not carried_by.recv(1):
            given_up.set()
        return None

    def make():
        backend = scripted(lambda number, *_: work(backend, backend.carriers[number - 1]))
        return backend

    proxy = serve([make() for _ in range(6)], stuck_timeout=0.3)
    response, body = ask(proxy)
    assert response.status == 502 and json.loads(body)["error"]["code"] == "poison_prompt"
    assert len(asked) == len(set(asked)) == 4
    assert given_up.wait(DEADLINE)


def test_an_engine_that_moves_again_answers_what_nobody_else_can(serve, scripted):
    """Alone, it keeps what it has: nobody else could answer sooner."""
    stuck = Stuck(scripted)
    proxy = serve([stuck], stuck_timeout=0.3)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        held = [pool.submit(ask, proxy, f"p{i}") for i in range(2)]
        wait_until(lambda: "stands still" in proxy.output(), "the log to name it")
        stuck.free.set()
        assert [one.result()[0].status for one in held] == [200] * 2
    wait_until(lambda: "moves again" in proxy.output(), "the log to say so")
    assert ask(proxy)[0].status == 200
    wait_until(lambda: not breaker_is_open(proxy, stuck), "its breaker to close")


def test_a_long_answer_of_an_engine_that_counts_on_is_not_taken_away(serve, scripted):
    done, steps = threading.Event(), iter(range(10**9))

    def metrics():
        return (f"vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n"
                f"vllm:iteration_tokens_total_count {next(steps)}\n").encode()

    def work(number, request, carried):
        done.wait(DEADLINE)
        return answer()

    slow = [scripted(work, pages={"/metrics": metrics}) for _ in range(2)]
    proxy = serve(slow, stuck_timeout=0.2)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(ask, proxy)
        looked = next(steps)
        wait_until(lambda: next(steps) > looked + 40, "many looks at its metrics")
        done.set()
        assert long.result()[0].headers["x-batchproxy-attempts"] == "1"
    assert "stands still" not in proxy.output()


# --- models --------------------------------------------------------------------------------------

def test_what_an_engine_serves_is_read_again_when_it_says_that_it_does_not_have_it(serve, scripted):
    """It was started again, quicker than its health is looked at, without the adapters that it had."""
    def listed(*names):
        return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}).encode()

    engine, other = scripted(lambda *_: answer(b"{}", b"404 Not Found")), scripted(lambda *_: answer())
    engine.models = other.models = listed("m", "sql")
    proxy = serve([engine, other])
    engine.models = listed("m")

    def statuses():
        body = {"model": "sql", "prompt": "p", "max_tokens": 1}
        return {call(proxy.url, "/v1/completions", body)[0].status for _ in range(4)}

    assert 404 in statuses()
    # Of its own accord it is read each 15 s only.
    wait_until(lambda: statuses() == {200}, "its list to be read again", deadline=10)


# --- time ---------------------------------------------------------------------------------------

def test_what_cannot_be_in_time_is_refused_and_the_rest_is_answered(serve, scripted):
    """Four times as many clients as can be served: the engine answers as many as alone."""
    slots = threading.Semaphore(2)

    def work(number, request, carried):
        with slots:
            time.sleep(0.1)  # its work
        return answer()

    backend = scripted(work)
    proxy = serve([backend], [2], request_timeout=1)
    end, good, codes = time.monotonic() + 5, [], set()

    def work_on(client):
        while time.monotonic() < end:
            response, _ = ask(proxy, f"c{client} {time.monotonic()}")
            good.extend([1] * (response.status == 200))
            codes.add(response.headers["x-batchproxy-code"])
            if response.headers["x-batchproxy-code"] == "queue_timeout":
                assert response.headers["retry-after"] == "1"

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        list(pool.map(work_on, range(60)))
    assert codes <= {None, "queue_timeout", "backend_timeout"}
    assert len(good) >= 50, "of 100 that are possible"


def test_what_an_engine_holds_too_late_comes_back_once_a_patience_is_learnt(serve, scripted):
    """An engine that holds far more than it answers while its clients wait: some of them leave and so tell how long they
    wait. The others, who have waited as long, are asked for again, and lose nothing by it."""
    free, steps, held = threading.Event(), iter(range(10**9)), []
    free.set()

    def metrics():
        waiting = sum(1 for _ in held) - 1 if held else 0
        return (f"vllm:num_requests_running 1\nvllm:num_requests_waiting {max(0, waiting)}\n"
                f"vllm:iteration_tokens_total_count {next(steps)}\n").encode()

    def work(number, request, carried):
        if free.is_set():
            time.sleep(0.2)  # its work, which teaches how many it answers
            return answer()
        held.append(number)
        free.wait(DEADLINE)
        return answer()

    engine = scripted(work, pages={"/metrics": metrics})
    proxy = serve([engine], [32], {"batch_size": 1, "batch_timeout": 0.01})
    for _ in range(12):
        assert ask(proxy)[0].status == 200
    free.clear()
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        staying = [pool.submit(ask, proxy, f"stay {i}") for i in range(24)]
        wait_until(lambda: len(held) == 24, "the engine to hold what stays")
        looks = next(steps)
        wait_until(lambda: next(steps) > looks + 8, "the room to be known")
        for i in range(12):
            leave_after(1, proxy, f"leave {i}")
            time.sleep(0.05)  # nobody's time-out is learnt from a job that is stopped
        wait_until(lambda: proxy.status()["requests"]["queued"] > 0, "what is too late to come back")
        free.set()
        answers = [one.result()[0] for one in staying]
    assert [one.status for one in answers] == [200] * 24
    assert {one.headers["x-batchproxy-attempts"] for one in answers} == {"1"}


def test_a_client_that_tells_its_time_out_is_waited_for(serve, scripted):
    def work(number, request, carried):
        time.sleep(0.8)  # its work
        return answer()

    proxy = serve([scripted(work)], request_timeout=0.3)
    assert ask(proxy)[0].status == 504
    assert ask(proxy, **{"x-stainless-read-timeout": "3600"})[0].status == 200
