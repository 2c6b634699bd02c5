"""The openai package, side by side: each call goes to an engine directly and through batchproxy."""
import asyncio

import openai
import pytest

from . import compatibility
from .compatibility import LLAMA, SIMULATED, VLLM, row
from .openai_calls import both, chat, complete, respond, streamed
from .outcomes import joined, plain

COMPLETIONS, CHAT, RESPONSES = "/v1/completions", "/v1/chat/completions", "/v1/responses"
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
TWO = {"n": 2, "temperature": 1, "seed": 7}  # vLLM refuses two greedy answers: they would be the same
MANY = [f"question {i}" for i in range(100)]
BOTH = (LLAMA, SIMULATED)
ALL = (*BOTH, VLLM)


def case(endpoint, shows, call, engines=ALL, fixture=None):
    """One parameter set of (engine, call) for each engine."""
    return [compatibility.case("openai", endpoint, shows, engine, call, fixture=fixture) for engine in engines]


def in_one(call):
    """The texts of a streamed call."""
    return lambda client, model: joined(call(client, model))


def embed(client, model):
    packed = client.embeddings.create(model=model, input=["one", "two"])  # base64 unless asked otherwise
    return packed, client.embeddings.create(model=model, input=["one", "two"], encoding_format="float")


ANSWERED = [
    *case(CHAT, "one answer", chat()),
    *case(CHAT, "`stop`, `seed`, unknown fields",
          chat(stop=["e"], seed=7, extra_body={"cache_salt": "x", "priority": 1})),
    *case(CHAT, "`logprobs`", chat(logprobs=True, top_logprobs=3)),
    *case(CHAT, "`n=2`", chat(**TWO), [LLAMA], "wide_llama_pair"),
    *case(CHAT, "`n=2`", chat(**TWO), [SIMULATED, VLLM]),
    *case(CHAT, "stream with usage", streamed(chat(**USAGE)), BOTH),
    *case(CHAT, "stream with usage", in_one(chat(**USAGE)), [VLLM]),
    *case(CHAT, "stream with `logprobs`", streamed(chat(stream=True, logprobs=True, top_logprobs=2)), BOTH),
    *case(CHAT, "stream with `logprobs`", in_one(chat(stream=True, logprobs=True, top_logprobs=2)), [VLLM]),
    *case(COMPLETIONS, "one prompt", complete()),
    *case(COMPLETIONS, "list of prompts", complete(["one", "two", "three"])),
    *case(COMPLETIONS, "list of 100 prompts", complete(MANY, max_tokens=2), [SIMULATED, VLLM]),
    *case(COMPLETIONS, "token ids", complete([70, 71, 72])),
    *case(COMPLETIONS, "list of token ids", complete([[70, 71, 72], [80, 81]])),
    *case(COMPLETIONS, "`logprobs`", complete(logprobs=2)),
    *case(COMPLETIONS, "`echo` with `logprobs`", complete(echo=True, logprobs=1, max_tokens=1), [SIMULATED, VLLM]),
    *case(COMPLETIONS, "`n=2`", complete(**TWO), [LLAMA], "wide_llama_pair"),
    *case(COMPLETIONS, "`n=2`", complete(**TWO), [SIMULATED, VLLM]),
    *case(COMPLETIONS, "stream with usage", streamed(complete(**USAGE)), BOTH),
    *case(COMPLETIONS, "stream with usage", in_one(complete(**USAGE)), [VLLM]),
    *case(COMPLETIONS, "stream of a list", streamed(complete(["one", "two"], stream=True)), [SIMULATED]),
    *case(COMPLETIONS, "stream of a list", in_one(complete(["one", "two"], stream=True)), [VLLM]),
    *case(RESPONSES, "one answer", respond(), [LLAMA, VLLM]),
    *case(RESPONSES, "a text with `instructions`", respond(input="Which?", instructions="Be short."), [LLAMA, VLLM]),
    *case(RESPONSES, "stream", streamed(respond(stream=True)), [LLAMA]),
    *case(RESPONSES, "stream", in_one(respond(stream=True)), [VLLM]),
    *case("/v1/embeddings", "list of texts, as `base64` and as numbers", embed, [LLAMA], "pooling_llama_pair"),
    *case("/v1/embeddings", "list of texts, as `base64` and as numbers", embed, [SIMULATED], "pooling_sim_pair"),
    *case("/v1/models", "list", lambda client, model: client.models.list().data),
]


@pytest.mark.parametrize("engine, call", ANSWERED)
def test_answers_are_equal(pairs, engine, call):
    direct, proxied = both(pairs(engine), call)
    assert direct["error"] is None and direct["result"], direct
    assert proxied == direct


@row("openai", COMPLETIONS, "list of 100 prompts", LLAMA,
     "`usage`: llama.cpp counts the first prompt of a call, batchproxy adds up the calls that it makes of the list")
def test_a_long_list_is_split(llama_pair):
    direct, proxied = both(llama_pair, complete(MANY, max_tokens=2))
    assert len(direct["result"]["choices"]) == 100
    counted = [answer["result"].pop("usage")["prompt_tokens"] for answer in (direct, proxied)]
    assert proxied == direct
    assert counted[0] < counted[1]


REFUSED = [
    *case(COMPLETIONS, "400: longer than the context", complete("word " * 20000, max_tokens=8)),
    *case(COMPLETIONS, "400: a field has the wrong type", complete(temperature="hot"), [LLAMA, VLLM]),
    *case(COMPLETIONS, "400: a field is out of range", complete(max_tokens=-5), [SIMULATED, VLLM]),
    *case(COMPLETIONS, "400 instead of a stream", streamed(complete("word " * 20000, stream=True))),
    *case(RESPONSES, "400: no `input`", lambda client, model: client.responses.create(model=model), [LLAMA, VLLM]),
    *case(RESPONSES, "400: longer than the context", respond(input="word " * 20000), [LLAMA, VLLM]),
    *case(RESPONSES, "400 instead of a stream", streamed(respond(input="word " * 20000, stream=True)), [LLAMA, VLLM]),
    *case(CHAT, "400: `messages` is no list", chat(messages="hello"), [LLAMA, VLLM]),
    *case(CHAT, "400: longer than the context", chat(messages=[{"role": "user", "content": "word " * 20000}])),
]


@pytest.mark.parametrize("engine, call", REFUSED)
def test_refusals_are_equal(pairs, engine, call):
    direct, proxied = both(pairs(engine), call)
    assert direct["error"]["class"] == "BadRequestError" and direct["requests"] == 1, direct
    assert proxied == direct


def without_body(outcome):
    return {**outcome, "error": {key: outcome["error"][key] for key in ("class", "status_code")}}


@pytest.mark.parametrize("engine", [
    compatibility.case("openai", COMPLETIONS, "404: unknown model", engine,
                       difference="the message lists the models that are served; `code` is `unknown_model`")
    for engine in (SIMULATED, VLLM)])
def test_an_unknown_model_is_the_same_exception_with_our_body(pairs, engine):
    pair = pairs(engine)
    direct, proxied = both(pair, complete(model="no-such"))
    assert direct["error"]["class"] == "NotFoundError"
    assert without_body(proxied) == without_body(direct)
    assert proxied["error"]["param"] == direct["error"]["param"] == "model"
    assert proxied["error"]["code"] == "unknown_model" and pair.model in proxied["error"]["text"]


@row("openai", COMPLETIONS, "404: unknown model", LLAMA, "llama.cpp answers to any name, batchproxy to those it serves")
def test_a_name_that_the_engine_would_ignore_is_refused(llama_pair):
    direct, proxied = both(llama_pair, complete(model="no-such"))
    assert direct["error"] is None
    assert proxied["error"]["code"] == "unknown_model"


@row("openai", "/v1/moderations", "404: unknown route", SIMULATED,
     "the body has OpenAI's shape; `code` is `unknown_route`")
def test_an_unknown_route_is_the_same_exception_with_our_body(sim_pair):
    direct, proxied = both(sim_pair, lambda client, _: client.moderations.create(input="x"))
    assert direct["error"]["class"] == "NotFoundError"
    assert without_body(proxied) == without_body(direct)
    assert proxied["error"]["code"] == "unknown_route"


@pytest.mark.parametrize("engine", [compatibility.case("openai", CHAT, "AsyncOpenAI: 32 calls at once", engine)
                                    for engine in ALL])
def test_concurrent_calls_are_equal(pairs, engine):
    pair = pairs(engine)

    async def ask_all(url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
            return plain(await asyncio.gather(*[
                chat(messages=[{"role": "user", "content": f"question {i}"}])(client, pair.model) for i in range(32)]))

    direct = asyncio.run(ask_all(pair.direct))
    assert asyncio.run(ask_all(pair.proxied)) == direct
