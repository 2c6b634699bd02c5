"""The OpenAI Agents SDK, which talks to /v1/responses unless it is told otherwise, in streams or not."""
import asyncio

import openai
import pytest

from .compatibility import LLAMA, VLLM, row
from .outcomes import joined

pytestmark = pytest.mark.full("agents")
ENDS_SOON = {"stop": ["a", "e", "1", " "]}  # it takes an answer cut off at its length for a failure
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def rows(endpoint, shows):
    return lambda test: row("OpenAI Agents SDK", endpoint, shows, LLAMA)(
        row("OpenAI Agents SDK", endpoint, shows, VLLM)(pytest.mark.parametrize("engine", [LLAMA, VLLM])(test)))


def run(url, model, endpoint, how):
    """What how(Runner, agent) returns, with an agent that asks `model` at `url`."""
    import agents  # of the full suite only
    agents.set_tracing_disabled(True)
    kind = {CHAT: agents.OpenAIChatCompletionsModel, RESPONSES: agents.OpenAIResponsesModel}[endpoint]

    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
            agent = agents.Agent(name="scorer", instructions="Answer with a letter.", model=kind(model, client),
                                 model_settings=agents.ModelSettings(temperature=0, extra_body=ENDS_SOON))
            return await how(agents.Runner, agent)

    return asyncio.run(ask())


def usage(result):
    used = result.context_wrapper.usage
    return used.requests, used.input_tokens, used.output_tokens


async def whole(runner, agent):
    result = await runner.run(agent, "Which? (A) one (B) two")
    return result.final_output, usage(result)


async def in_events(runner, agent):
    result = runner.run_streamed(agent, "Which? (A) one (B) two")
    events = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
    return result.final_output, joined(events), usage(result)


async def sixteen(runner, agent):
    results = await asyncio.gather(*[runner.run(agent, f"question {i}") for i in range(16)])
    return [(result.final_output, usage(result)) for result in results]


def assert_equal(pair, endpoint, how):
    direct = run(pair.direct, pair.model, endpoint, how)
    assert all(direct), direct
    assert run(pair.proxied, pair.model, endpoint, how) == direct


@rows(RESPONSES, "`Runner.run`")
def test_a_run(pairs, engine):
    assert_equal(pairs(engine), RESPONSES, whole)


@rows(RESPONSES, "`Runner.run_streamed`")
def test_a_streamed_run(pairs, engine):
    assert_equal(pairs(engine), RESPONSES, in_events)


@rows(RESPONSES, "16 runs at once")
def test_runs_at_once(pairs, engine):
    assert_equal(pairs(engine), RESPONSES, sixteen)


@rows(CHAT, "`Runner.run` with `OpenAIChatCompletionsModel`")
def test_a_run_over_chat_completions(pairs, engine):
    assert_equal(pairs(engine), CHAT, whole)
