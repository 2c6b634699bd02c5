"""POST /v1/decisions: an engine's own where it has them, else computed from its completions."""
import http.client
import json
import math
import threading

import pytest

from tests.support.asking import MODEL, call, labelled, metrics
from tests.support.scripted_engine import path_of
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer, page, vllm_error

CONTEXT = "Passage: the fox is red.\nQuestion: what is red?\nA. the fox\nB. the hen\nAnswer:"
SENTENCES = [" the fox", " the hen, of course", " neither of them"]


def choice(values, instructions="", **fields):
    return {"type": "choice", "name": "q", "instructions": instructions,
            "choices": [{"value": value} for value in values], **fields}


def decide(url, *questions, text=CONTEXT, model=MODEL, headers=None, **fields):
    response, body = call(url, "/v1/decisions", {"model": model, "input": text, "questions": list(questions), **fields},
                          headers)
    return response, json.loads(body)


def decided(url, *questions, **fields):
    response, body = decide(url, *questions, **fields)
    assert response.status == 200, body
    return body


def completions(url, **fields):
    response, body = call(url, "/v1/completions", {"model": MODEL, "temperature": 0, "max_tokens": 1, **fields})
    assert response.status == 200, body
    return json.loads(body)


def alternatives(url, prompt=CONTEXT):
    """Tokens that may come next, and the log-probability of each."""
    return completions(url, prompt=prompt, logprobs=20)["choices"][0]["logprobs"]["top_logprobs"][0]


def loglikelihood(url, context, continuation):
    """As lm-eval's local-completions computes it: the tokens of the whole, less those of the context, less the one that was generated."""
    def tokens(text):
        return json.loads(call(url, "/tokenize", {"model": MODEL, "prompt": text})[1])["tokens"]

    begin = len(context.rstrip())
    text = context + continuation
    told = completions(url, prompt=tokens(text), echo=True, logprobs=1)["choices"][0]["logprobs"]
    return sum(told["token_logprobs"][len(tokens(text[:begin])):-1])


def probabilities_of(logprobs):
    weights = [math.exp(value - max(logprobs)) for value in logprobs]
    return [weight / sum(weights) for weight in weights]


def check(told, values, logprobs, method):
    """One answer to a choice, beside what the engine itself has said."""
    assert [one["value"] for one in told["probabilities"]] == values
    assert [one["logprob"] for one in told["probabilities"]] == pytest.approx(logprobs, abs=1e-4)
    expected = probabilities_of(logprobs)
    assert [one["probability"] for one in told["probabilities"]] == pytest.approx(expected, abs=1e-9)
    best = max(range(len(values)), key=logprobs.__getitem__)
    assert (told["type"], told["name"], told["choice"], told["method"]) == ("choice", "q", values[best], method)
    assert told["confidence"] == pytest.approx(math.exp(max(logprobs)))
    first, second = sorted(expected)[:-3:-1]
    assert told["margin"] == pytest.approx(first - second)


def test_choices_of_one_token_come_from_one_prefill(served):
    tops = alternatives(served.engine.url)
    values = list(tops)[:4]
    before = served.metrics()
    body = decided(served.url, choice(values))
    check(body["answers"][0], values, [tops[value] for value in values], "next_token")
    assert [one["tokens"] for one in body["answers"][0]["probabilities"]] == [1] * 4
    assert body["model"] == MODEL and body["usage"]["output_tokens"] == 1
    served.assert_balanced()  # the client has its answer a moment before it is counted
    after = served.metrics()
    assert after["batchproxy_requests_received_total"] - before["batchproxy_requests_received_total"] == 1
    finished = labelled(after, "batchproxy_requests_finished_total")
    assert finished["ok"] - labelled(before, "batchproxy_requests_finished_total").get("ok", 0) == 1
    assert finished.get("client_error", 0) == 0  # the engine's 404 was no answer to the client


@pytest.mark.parametrize("context", [CONTEXT, CONTEXT + " ", CONTEXT + "\n"], ids=["no blank", "a blank", "a line"])
def test_longer_choices_are_read_behind_the_context(served, context):
    values = [text.removeprefix(" ") for text in SENTENCES] if context != CONTEXT else SENTENCES
    body = decided(served.url, choice(values), text=context)
    expected = [loglikelihood(served.engine.url, context, value) for value in values]
    check(body["answers"][0], values, expected, "continuations")
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]


def test_characters_of_several_bytes_are_counted_as_one(served):
    context, values = "Größe: Straße, 漢字, 🦊 →", [" süß und groß", " 漢字", " 🦊🦊"]
    body = decided(served.url, choice(values), text=context)
    check(body["answers"][0], values, [loglikelihood(served.engine.url, context, value) for value in values],
          "continuations")


def test_both_methods_agree(served):
    values = list(alternatives(served.engine.url))[:1] + SENTENCES[:1]
    asked = choice(values)
    response, error = decide(served.url, asked, method="next_token")
    assert response.status == 400 and error["error"]["param"] == "method"
    forced = decided(served.url, asked, method="continuations")["answers"][0]
    free = decided(served.url, asked)["answers"][0]
    assert forced == free and forced["method"] == "continuations"
    first = alternatives(served.engine.url)[values[0]]
    # The likeliest is what the engine goes on with: the same number either way.
    assert forced["probabilities"][0]["logprob"] == pytest.approx(first, abs=1e-4)


def test_several_questions_are_answered_in_order(served):
    body = decided(served.url, {"type": "predicate", "name": "is it", "instructions": "The fox is red."},
                   choice(["fox", "hen"], "Which is red?"),
                   {"type": "score", "instructions": "How red?", "levels": [
                       {"label": "not at all"}, {"label": "a bit", "description": "pink"}, {"label": "very"}]})
    predicate, chosen, score = body["answers"]
    assert (predicate["type"], predicate["name"]) == ("predicate", "is it")
    assert [one["value"] for one in predicate["probabilities"]] == [True, False]
    assert predicate["probability"] == predicate["probabilities"][0]["probability"]
    assert chosen["choice"] in ("fox", "hen") and chosen["name"] == "q"
    context = CONTEXT + "\n\nWhich is red?\nAnswer:"
    assert [one["logprob"] for one in chosen["probabilities"]] == pytest.approx(
        [loglikelihood(served.engine.url, context, value) for value in (" fox", " hen")], abs=1e-4)
    assert (score["type"], score["name"]) == ("score", None)
    assert [(one["value"], one["label"]) for one in score["probabilities"]] == [
        (0, "not at all"), (1, "a bit"), (2, "very")]
    assert score["score"] == pytest.approx(sum(i * one["probability"] for i, one in enumerate(score["probabilities"])))


def test_a_conversation_is_read_as_text(served):
    body = decided(served.url, choice(SENTENCES), text=[{"role": "user", "content": CONTEXT}])
    expected = [loglikelihood(served.engine.url, CONTEXT, value) for value in SENTENCES]
    check(body["answers"][0], SENTENCES, expected, "continuations")


WRONG = {
    "no choices": ({"questions": [choice([])]}, "questions[0].choices", "2 to 255"),
    "one choice": ({"questions": [choice(["A"])]}, "questions[0].choices", "2 to 255"),
    "the same twice": ({"questions": [choice(["A", "A"])]}, "questions[0]", "twice"),
    "unknown type": ({"questions": [{"type": "essay"}]}, "questions[0].type", "`predicate`, `choice` or `score`"),
    "no questions": ({"questions": []}, "questions", "1 to 400"),
    "empty input": ({"input": "", "questions": [choice(["A", "B"])]}, "input", "is empty"),
    "an image": ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}],
                  "questions": [choice(["A", "B"])]}, "input[0].content", "text alone"),
    "unknown method": ({"questions": [choice(["A", "B"])], "method": "guess"}, "method", "`next_token`"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_request_is_told_what_is_wrong(served, wrong):
    fields, param, says = WRONG[wrong]
    for _ in range(2):  # before the engine is known to have no such path, and after
        response, text = call(served.url, "/v1/decisions", {"model": MODEL, "input": CONTEXT, **fields})
        error = json.loads(text)["error"]
        assert (response.status, error["param"], error["code"]) == (400, param, "invalid_request")
        assert says in error["message"]


def test_an_unknown_model_is_unknown(served):
    for method in ({}, {"method": "continuations"}):
        response, body = decide(served.url, choice(["A", "B"]), model="no-such", **method)
        assert response.status == 404 and body["error"]["code"] == "unknown_model"


# --- engines that do as they are told -------------------------------------------------------------

TOPS = {"logprobs": {"tokens": [" A"], "token_logprobs": [-0.5], "text_offset": [0],
                     "top_logprobs": [{" A": -0.5, " B": -1.5}]}}
NEXT = json.dumps({"model": "m", "choices": [{"index": 0, "text": " A", **TOPS}], "usage": {"prompt_tokens": 3}}).encode()


@pytest.fixture
def before(start_proxy, scripted):
    """before(script): a proxy with one I/O thread before such an engine, its `engine`."""
    def start(script, *flags):
        engine = scripted(script)
        proxy = start_proxy("--backend", engine.url, "--io-threads", "1", *flags).ready(1)
        proxy.engine = engine
        return proxy

    return start


def by_path(**answers):
    return lambda number, request, connection: answers[path_of(request).rpartition("/")[2]]


def ask(proxy, *values, **fields):
    return decide(proxy.url, choice(values or [" A", " B"]), model="m", **fields)


def test_an_engine_with_decisions_of_its_own_answers_them(before):
    own = b'{"answers": [], "of": "its own"}'
    proxy = before(by_path(decisions=answer(own), completions=answer(NEXT)))
    assert ask(proxy)[1] == json.loads(own)
    assert proxy.engine.served == ["/v1/decisions"]
    assert ask(proxy, method="engine")[1] == json.loads(own)
    assert ask(proxy, method="next_token")[1]["answers"][0]["choice"] == " A"
    assert proxy.engine.served[1:] == ["/v1/decisions", "/v1/completions"]


def test_what_it_says_is_wrong_is_passed_on(before):
    proxy = before(by_path(decisions=vllm_error(400, "its own words"), completions=answer(NEXT)))
    response, body = ask(proxy)
    assert response.status == 400 and body["error"]["message"] == "its own words"


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_engine_without_them_is_asked_once(before, status):
    proxy = before(by_path(decisions=page(status, '{"detail":"Not here"}'), completions=answer(NEXT)))
    for _ in range(3):
        assert ask(proxy)[1]["answers"][0]["method"] == "next_token"
    assert [path for path in proxy.engine.served if path.endswith("decisions")] == ["/v1/decisions"]
    assert proxy.engine.served.count("/v1/completions") == 3
    response, body = ask(proxy, method="engine")
    assert response.status == 501 and body["error"]["code"] == "engine_lacks_scores"


def test_a_list_of_continuations_goes_to_one_engine(start_proxy, start_engine):
    engines = [start_engine() for _ in range(3)]
    proxy = start_proxy("--backend", engines[0].url, "--backend", engines[1].url, "--backend", engines[2].url).ready(3)
    response, body = decide(proxy.url, choice(SENTENCES), method="continuations")
    assert response.status == 200 and body["usage"]["output_tokens"] == len(SENTENCES)
    assert sorted(backend["answered"] for backend in proxy.status()["backends"]) == [0, 0, 1]


def test_an_engine_without_logprobs_is_told_of(before):
    proxy = before(by_path(decisions=page(404, "{}"), completions=answer()))
    response, body = ask(proxy)
    assert response.status == 501 and response.headers["x-batchproxy-code"] == "engine_lacks_scores"
    assert "cannot compute" in body["error"]["message"] and body["error"]["type"] == "backend_error"


def test_an_engine_without_echo_is_told_of(before):
    def script(number, request, connection):
        if path_of(request) == "/v1/decisions":
            return page(404, "{}")
        return vllm_error(400, "Only no echo is supported") if b'"echo"' in request else answer(NEXT)

    proxy = before(script)
    assert ask(proxy)[0].status == 200
    response, body = ask(proxy, "a long choice", "another")
    assert response.status == 501 and "Only no echo is supported" in body["error"]["message"]


def test_keys_names_and_time_are_those_of_the_client(before):
    proxy = before(by_path(decisions=page(404, "{}"), completions=answer(NEXT)))
    response, _ = ask(proxy, headers={"Authorization": "Bearer mine", "x-request-id": "night-7",
                                      "Accept-Encoding": "gzip"})
    assert response.status == 200 and response.headers["x-request-id"] == "night-7"
    sent = proxy.engine.requests[-1].lower()
    assert b"authorization: bearer mine\r\n" in sent and b"accept-encoding" not in sent
    assert sent.count(b"content-type: application/json\r\n") == 1


def test_a_client_that_leaves_ends_the_call(before):
    release = threading.Event()

    def script(number, request, connection):
        if path_of(request) == "/v1/decisions":
            return page(404, "{}")
        return [lambda: release.wait(DEADLINE), answer(NEXT)]

    proxy = before(script)
    try:
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=DEADLINE)
        connection.request("POST", "/v1/decisions", json.dumps(
            {"model": "m", "input": CONTEXT, "questions": [choice([" A", " B"])]}), {"Content-Type": "application/json"})
        wait_until(lambda: "/v1/completions" in proxy.engine.served, "the call")
        connection.close()
        wait_until(lambda: labelled(proxy.metrics(), "batchproxy_requests_finished_total").get("client_gone") == 1,
                   "its end")
    finally:
        release.set()


def test_a_kept_connection_carries_one_decision_after_another(before):
    proxy = before(by_path(decisions=page(404, "{}"), completions=answer(NEXT)))
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=DEADLINE)
    body = json.dumps({"model": "m", "input": CONTEXT, "questions": [choice([" A", " B"])] * 3})
    for _ in range(3):
        connection.request("POST", "/v1/decisions", body, {"Content-Type": "application/json"})
        assert len(json.loads(connection.getresponse().read())["answers"]) == 3
    connection.close()
    assert metrics(proxy.admin)["batchproxy_requests_received_total"] == 3
