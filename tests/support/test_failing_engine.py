"""The marks of failing_engine.py that other tests build on."""
import concurrent.futures
import json
import time

import pytest

from .asking import call
from .engine_process import running_engines
from .failing_engine import text_of
from .faults import Mark, mark_of
from .waiting import wait_until


@pytest.fixture
def engine(tmp_path):
    """An engine with room for one prompt."""
    with running_engines(1, tmp_path, slots=1) as [engine]:
        yield engine


def ask(engine, prompt):
    return call(engine.url, "/v1/completions", {"model": "m", "prompt": prompt})


def received(engine):
    return sum(what == "received" for _, what, _, _ in engine.events())


@pytest.mark.parametrize("prompt, mark", [
    ("no mark", None),
    ("@", None),
    ("a @500 b", Mark("500")),
    ("!500", Mark("500", at_once=True)),
    ("!empty", Mark("empty", at_once=True)),
    ("@slow:40", Mark("slow", 40)),
    ("@slow", None),
    ("@cut @500", Mark("cut")),
])
def test_a_mark_is_read_from_the_prompt(prompt, mark):
    assert mark_of(prompt) == mark


def test_an_exclamation_mark_fails_a_prompt_without_a_slot(engine):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for prompt in ("@hang", "@500"):
            pool.submit(ask, engine, prompt)
        wait_until(lambda: received(engine) == 2, "the slot to be taken, and waited for")
        response, text = ask(engine, "!500")
        assert response.status == 500 and "the prompt says 500" in json.loads(text)["error"]["message"]
        response, text = ask(engine, "!empty")
        assert response.status == 500 and text == b""
        assert [what for _, what, _, _ in engine.events()].count("answered") == 2, "both others still wait"
        engine.kill()  # and lets the two go


def test_slow_is_the_right_answer_so_many_milliseconds_later(engine):
    begin = time.monotonic()
    response, text = ask(engine, "@slow:300")
    assert time.monotonic() - begin >= 0.3
    assert response.status == 200 and json.loads(text)["choices"][0]["text"] == text_of("@slow:300")
