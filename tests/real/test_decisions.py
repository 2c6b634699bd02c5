"""POST /v1/decisions of real engines that have none: equal to what lm-evaluation-harness makes of the same engine.

BATCHPROXY_QUESTIONS names another file of questions."""
import openai
import pytest
import requests

from .compatibility import LLAMA, SIMULATED, VLLM, row
from .servers import SIM_MODEL, Pair, proxy_before, running_sim
from .test_scoring import QUESTIONS
from .vllm.engines import MODEL

DECISIONS = "/v1/decisions"
CLOSE = 1e-4  # of log-probabilities
# Engines compute them as 32-bit numbers, and sums of hundreds of tokens are some hundred: the same engine, asked the same
# beside other prompts, differs by a few of their last places.
LAST_PLACES = 1e-6  # of the value
PATIENCE = 1200  # seconds, for a real engine on a slow and busy machine


def context_of(question):
    return f"{question['passage']}\n{question['question']}\nAnswer:"


def ask(pair, context, values, **fields):
    """The answer to one choice of these."""
    return requests.post(pair.proxied + DECISIONS, timeout=PATIENCE, json={
        "model": pair.model, "input": context, **fields,
        "questions": [{"type": "choice", "instructions": "", "choices": [{"value": value} for value in values]}]})


def decided(pair, context, values, **fields):
    response = ask(pair, context, values, **fields)
    assert response.status_code == 200, response.text
    return response.json()["answers"][0]


def alternatives(pair, context):
    """The likeliest next tokens, as the engine tells them itself: {text: log-probability}."""
    told = requests.post(pair.direct + "/v1/completions", timeout=PATIENCE, json={
        "model": pair.model, "prompt": context, "max_tokens": 1, "temperature": 0, "logprobs": 20}).json()
    logprobs = told["choices"][0]["logprobs"]
    if "top_logprobs" in logprobs:
        return logprobs["top_logprobs"][0]
    return {one["token"]: one["logprob"] for one in logprobs["content"][0]["top_logprobs"]}


def harness(pair):
    """loglikelihood(context, continuations) of lm-evaluation-harness, asking the engine directly."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    model = LocalCompletionsAPI(base_url=pair.direct + "/v1/completions", model=pair.model, tokenizer_backend="remote",
                                max_length=8192, max_retries=1)

    def loglikelihood(context, values):
        asked = [Instance(request_type="loglikelihood", doc={}, arguments=(context, value), idx=i)
                 for i, value in enumerate(values)]
        return [logprob for logprob, _ in model.loglikelihood(asked, disable_tqdm=True)]

    return loglikelihood


def same_as_the_harness(pair, questions):
    """Every question both ways; the largest difference of a log-probability, and the calls."""
    loglikelihood = harness(pair)
    worst, largest, tokens = 0.0, 0.0, 0
    for question in questions:
        values = [" " + option for option in question["options"]]
        told = decided(pair, context_of(question), values, method="continuations")
        expected = loglikelihood(context_of(question), values)
        logprobs = [one["logprob"] for one in told["probabilities"]]
        assert logprobs == pytest.approx(expected, abs=CLOSE, rel=LAST_PLACES)
        worst = max([worst] + [abs(one - value) for one, value in zip(logprobs, expected)])
        largest = max([largest] + [abs(value) for value in expected])
        assert told["choice"] == values[max(range(len(values)), key=expected.__getitem__)]
        tokens += sum(one["tokens"] for one in told["probabilities"])
    print(f"\n{len(questions)} questions, {tokens} tokens of choices: log-probabilities of up to -{largest:.0f} differ by "
          f"{worst:.2g} at most, no choice does")


def single_tokens_are_the_harness_s(pair, questions):
    """The four likeliest next tokens as choices: one prefill, and the same numbers."""
    loglikelihood = harness(pair)
    for question in questions:
        context = context_of(question)
        values = [text for text in alternatives(pair, context) if text.isascii() and text.strip()][:4]
        assert len(values) > 1
        told = decided(pair, context, values, method="next_token")
        assert [one["logprob"] for one in told["probabilities"]] == pytest.approx(
            loglikelihood(context, values), abs=CLOSE)


def awkward_texts_are_the_harness_s(pair):
    loglikelihood = harness(pair)
    for context, values in [("Größe 漢字 🦊:", [" süß", " 漢字", " 🦊🦊"]), ("ends with a blank: ", ["A", "B and C"]),
                            ("ends with a line:\n", ["A", "Ä"])]:
        told = decided(pair, context, values, method="continuations")
        assert [one["logprob"] for one in told["probabilities"]] == pytest.approx(
            loglikelihood(context, values), abs=CLOSE), context


@row("openai", DECISIONS, "`decisions.create` where the engine has none", SIMULATED,
     "The engine says 404; batchproxy computes them")
def test_the_package_reads_what_is_computed(sim_pair):
    with openai.OpenAI(base_url=sim_pair.proxied + "/v1", api_key="none") as client:
        decision = client.decisions.create(model=sim_pair.model, input="The fox is red.", questions=[
            {"type": "choice", "name": "who", "instructions": "Who?", "choices": [
                {"value": "fox", "description": "an animal"}, {"value": True}]},
            {"type": "predicate", "instructions": "It is red."},
            {"type": "score", "instructions": "How red?", "levels": [{"label": "not"}, {"label": "very"}]}])
    choice, predicate, score = decision.answers
    assert type(choice).__name__ == "AnswerAnswerResourceChoice" and choice.choice in ("fox", True)
    assert choice.name == "who" and sum(one.probability for one in choice.probabilities) == pytest.approx(1)
    assert type(predicate).__name__ == "AnswerAnswerResourcePredicate" and 0 < predicate.probability < 1
    assert type(score).__name__ == "AnswerAnswerResourceScore" and 0 < score.score < 1
    assert [(one.label, one.value) for one in score.probabilities] == [("not", 0), ("very", 1)]
    assert decision.usage.total_tokens == decision.usage.input_tokens + decision.usage.output_tokens > 0
    with openai.OpenAI(base_url=sim_pair.proxied + "/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError, match="2 to 255"):
            client.decisions.create(model=sim_pair.model, input="x", questions=[
                {"type": "choice", "instructions": "", "choices": [{"value": "alone"}]}])


@row("plain HTTP", DECISIONS, "choices of one token; longer ones are refused, as it has no `echo`", LLAMA,
     "The engine says 404; batchproxy computes them")
def test_llama_tells_single_tokens_alone(llama_pair):
    context = context_of(QUESTIONS[0])
    tops = alternatives(llama_pair, context)
    values = [text for text in tops if text.isascii() and text.strip()][:4]
    told = decided(llama_pair, context, values)
    assert told["method"] == "next_token"
    assert [one["logprob"] for one in told["probabilities"]] == pytest.approx([tops[value] for value in values], abs=CLOSE)
    response = ask(llama_pair, context, ["no token is as long as this", "nor as this"])
    assert (response.status_code, response.json()["error"]["code"]) == (501, "engine_lacks_scores")


TELLS_TOKENS = "--enable-tokenizer-info-endpoint"  # which the harness asks for


@pytest.mark.full("lm_eval")
@row("lm-evaluation-harness", DECISIONS, "equal to its `loglikelihood`", SIMULATED)
def test_decisions_are_the_harness_s_on_a_simulated_engine(tmp_path):
    with running_sim(tmp_path, "--max-model-len", "8192", TELLS_TOKENS) as engine, proxy_before(tmp_path, engine.url) as proxy:
        pair = Pair(engine.url, proxy.url, SIM_MODEL)
        same_as_the_harness(pair, QUESTIONS)  # its other next tokens are made up
        awkward_texts_are_the_harness_s(pair)


@pytest.mark.full("vllm")
@row("lm-evaluation-harness", DECISIONS, "equal to its `loglikelihood`", VLLM)
def test_decisions_are_the_harness_s_on_vllm(vllm_template, tmp_path):
    pytest.importorskip("lm_eval")
    with vllm_template.engine(TELLS_TOKENS) as engine, proxy_before(tmp_path, engine.url) as proxy:
        pair = Pair(engine.url, proxy.url, MODEL)
        same_as_the_harness(pair, QUESTIONS)
        single_tokens_are_the_harness_s(pair, QUESTIONS[::4])
        awkward_texts_are_the_harness_s(pair)
