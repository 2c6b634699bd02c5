"""LangChain, whose completion class always sends lists of prompts: 20 a call."""
import pytest
from langchain_openai import ChatOpenAI, OpenAI

from .compatibility import LLAMA, SIMULATED, VLLM, case

ENGINES = (LLAMA, SIMULATED, VLLM)
PROMPTS = [f"Question {i}: which? (A) this (B) that\nAnswer:" for i in range(50)]


def on(endpoint, shows, engines=ENGINES, fixtures=None):
    """The test with each of the engines."""
    return pytest.mark.parametrize("engine", [
        case("LangChain", endpoint, shows, engine, fixture=(fixtures or {}).get(engine)) for engine in engines])


def model(kind, url, name, **options):
    return kind(**{"base_url": f"{url}/v1", "api_key": "any", "model": name, "temperature": 0, "max_tokens": 8,
                   "max_retries": 0, **options})


@on("/v1/completions", "50 prompts in lists of 20")
def test_lists_of_prompts(pairs, engine):
    pair = pairs(engine)

    def ask(url):
        result = model(OpenAI, url, pair.model).generate(PROMPTS)
        # llama.cpp counts the first prompt of a call only, so what it counts depends on how lists are split.
        usage = result.llm_output["token_usage"] if engine != LLAMA else None
        return [[one.text for one in several] for several in result.generations], usage

    direct = ask(pair.direct)
    assert len(direct[0]) == 50
    assert ask(pair.proxied) == direct


@on("/v1/completions", "`n=2`, `best_of=2` in lists of prompts", fixtures={LLAMA: "wide_llama_pair"})
def test_several_answers_to_each_prompt(pairs, engine):
    pair = pairs(engine)

    def ask(url):
        result = model(OpenAI, url, pair.model, n=2, best_of=2, temperature=1, seed=7).generate(PROMPTS[:5])
        return [[one.text for one in several] for several in result.generations]

    direct = ask(pair.direct)
    assert [len(several) for several in direct] == [2] * 5
    assert ask(pair.proxied) == direct


@on("/v1/completions", "stream")
def test_streams(pairs, engine):
    pair = pairs(engine)
    direct, proxied = (list(model(OpenAI, url, pair.model).stream(PROMPTS[0])) for url in (pair.direct, pair.proxied))
    assert len(direct) > 1
    if engine == VLLM:  # its pieces depend on the moment
        direct, proxied = "".join(direct), "".join(proxied)
    assert proxied == direct


@on("/v1/chat/completions", "batch of 50, 32 at once")
def test_chat_batches(pairs, engine):
    pair = pairs(engine)

    def ask(url):
        messages = model(ChatOpenAI, url, pair.model).batch(PROMPTS, config={"max_concurrency": 32})
        return [(message.content, message.usage_metadata) for message in messages]

    direct = ask(pair.direct)
    assert len(direct) == 50
    assert ask(pair.proxied) == direct
