"""What vLLM's API server spends on a call, a prompt and a token: the figures of which the simulated one has its own."""
import concurrent.futures
import os
import pathlib

import pytest

from tests.support.asking import call

from .engines import MODEL

pytestmark = pytest.mark.full("vllm")
LIST = 32
TOKENS = 32
AT_ONCE = 16


def cpu_seconds(pid):
    """What a process has computed so far, in all of its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spent(engine, calls, prompt, tokens):
    """CPU seconds of its API server for a call with `prompt` and so many tokens of answer."""
    body = {"model": MODEL, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "temperature": 0}

    def ask(_):
        assert call(engine.url, "/v1/completions", body)[0].status == 200

    before = cpu_seconds(engine.pid)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, range(calls)))
    return (cpu_seconds(engine.pid) - before) / calls


def test_the_front_end_has_a_price(vllm_engines):
    engine = vllm_engines[0]
    prompt = "Which of them? " * 20
    spent(engine, 100, prompt, 1)  # what is done once is done
    single = spent(engine, 600, prompt, 1)
    listed = spent(engine, 60, [prompt] * LIST, 1)
    longer = spent(engine, 200, prompt, 1 + TOKENS)
    token = (longer - single) / TOKENS
    per_prompt = (listed - single) / (LIST - 1) - token
    per_call = single - per_prompt - token
    print(f"\nCPU of vLLM's API server: {per_call * 1e3:.2f} ms a call, {per_prompt * 1e3:.2f} ms a prompt, "
          f"{token * 1e6:.0f} us a token; {single * 1e3:.2f} ms a single prompt, "
          f"{listed / LIST * 1e3:.2f} ms one of a list of {LIST}")
    assert listed / LIST < single  # what merging lives on
