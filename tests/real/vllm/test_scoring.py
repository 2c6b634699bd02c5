"""Two real vLLM engines and scoring workers: every answer is the one of a direct call, and what a shared call saves.

BATCHPROXY_QUESTIONS names another file of questions."""
import contextlib
import os
import signal
import threading
import time

import pytest

from tests.support.waiting import wait_until

from ..compatibility import VLLM, row
from ..test_scoring import QUESTIONS, ask_all, complete, post, prompt_of, report
from .engines import proxy_before

pytestmark = pytest.mark.full("vllm")
WORKERS = 64
LIST = 32
ROUNDS = 5


def scores(shows, difference=""):
    return row("distllm's calls", "/v1/completions", shows, VLLM, difference)


def timed(what, direct, ask):
    """The seconds that ask() takes for the direct answers."""
    started = time.monotonic()
    answers = ask()
    seconds = time.monotonic() - started
    report(what, answers, direct, seconds)
    assert answers == direct
    return seconds


def through(url):
    return lambda: ask_all(url, WORKERS, ask=complete)


def folder(parent, name):
    made = parent / name
    made.mkdir()
    return made


def in_lists(url):
    """Every question once, in lists."""
    def ask():
        answers = []
        for start in range(0, len(QUESTIONS), LIST):
            prompts = [prompt_of(question) for question in QUESTIONS[start:start + LIST]]
            answers += [one["text"] for one in post(url, "/v1/completions", {"prompt": prompts}).json()["choices"]]
        return answers

    return ask


@pytest.fixture(scope="module")
def direct_answers(vllm_engines):
    """What both engines say when they are asked directly, which fills their caches, too."""
    first, again = (ask_all(engine.url, workers, ask=complete)
                    for engine, workers in zip(vllm_engines, (4, 16), strict=True))
    assert first == again
    assert not any(answer.startswith("Error:") for answer in first)
    assert len(set(first)) > 0.9 * len(first)  # another question's answer would be seen
    return first


def alternating(engines):
    """A worker's call without a proxy: the engines by turns."""
    turn, lock = 0, threading.Lock()

    def ask(_, question):
        nonlocal turn
        with lock:
            turn += 1
            url = engines[turn % len(engines)].url
        return complete(url, question)

    return lambda: ask_all("", WORKERS, ask=ask)


@scores("64 workers, two engines")
@scores("64 workers whose requests share calls (`merge: always`)",
        "`usage` is a share of the call's, marked `x-batchproxy-usage: apportioned`")
@scores(f"lists of {LIST} over two engines")
def test_every_answer_is_the_one_of_a_direct_call(vllm_engines, tmp_path, direct_answers):
    with contextlib.ExitStack() as stack:
        default, merging = (stack.enter_context(proxy_before(folder(tmp_path, merge), vllm_engines, merge=merge))
                            for merge in ("auto", "always"))
        ways = {"no proxy": alternating(vllm_engines), "default": through(default.url),
                "merge: always": through(merging.url), "lists": in_lists(default.url)}
        seconds = dict.fromkeys(ways, 0.0)
        for name, ask in list(ways.items()) * ROUNDS:  # by turns: whatever else the machine does happens to all
            seconds[name] += timed(name, direct_answers, ask)
        for proxy in (default, merging):
            assert all(backend["answered"] for backend in proxy.status()["backends"])
        status = merging.status()
    assert status["requests"]["merged"]
    print(f"{status['requests']['merged']} of {ROUNDS * len(QUESTIONS)} requests shared {status['merged_calls']} calls")
    print(*(f"{name}: {seconds['no proxy'] / taken:.2f} x no proxy" for name, taken in seconds.items()), sep=", ")


@scores("an engine's core is killed half-way, and the engine started again")
@pytest.mark.parametrize("settings", [{}, {"merge": "always"}], ids=["default", "merged"])
def test_the_same_while_an_engine_core_is_killed(vllm_template, vllm_engines, tmp_path, direct_answers, settings):
    with vllm_template.engine() as victim, proxy_before(tmp_path, [victim, vllm_engines[0]], **settings) as proxy, \
            contextlib.ExitStack() as later:
        def restart():
            victim.wait_for_end()
            victim.kill()
            victim.start()

        def kill_and_restart(done):
            if done == len(QUESTIONS) // 2:
                os.kill(victim.core(), signal.SIGKILL)
                restarting = threading.Thread(target=restart)
                restarting.start()
                later.callback(restarting.join)

        timed("one core killed", direct_answers,
              lambda: ask_all(proxy.url, WORKERS, on_answer=kill_and_restart, ask=complete))
        later.close()
        retried = proxy.status()["requests"]["retried"]
        print(f"asked again by batchproxy: {retried}")
        assert retried
        victim.ready()
        wait_until(lambda: proxy.status()["backends"][0]["state"] == "ready", "the new engine to be taken in")
        timed("asked again", direct_answers, through(proxy.url))
        assert victim.metric("vllm:request_success_total") > 0
