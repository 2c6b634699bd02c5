"""The openai package when things go wrong: the same exceptions after the same number of tries.

The engine is scripted, for no real one fails on demand. Where batchproxy differs on purpose, the test
says how, and so does the table."""
import openai
import pytest

from tests.support.wire import answer, chunk

from .compatibility import LLAMA, SCRIPTED, SIMULATED, VLLM, row
from .openai_calls import chat, complete, outcome, respond
from .servers import LLAMA_MODEL, SIM_MODEL, metric, proxy_before, running_llama, running_sim, wait_until
from .stage import DROPPED, SILENCE, SOON, STREAM, failure, running_stage
from .vllm import engines

COMPLETIONS, CHAT, RESPONSES = "/v1/completions", "/v1/chat/completions", "/v1/responses"
GOOD = answer(b'{"id":"x","object":"text_completion","created":1,"model":"m","choices":'
              b'[{"index":0,"text":"A","finish_reason":"stop","logprobs":null}]}')
EVENT = b'data: {"id":"x","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"A"}]}\n\n'


def ask(client):
    return complete()(client, "m")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with running_stage(tmp_path_factory.mktemp("scripted"), outcome, ask, GOOD) as one:
        yield one


def same(shows, replies, error, requests, **options):
    """A parameter set: the replies, the exception that openai makes of them, the requests it sends."""
    return pytest.param(replies, error, requests, options, id=shows, marks=row("openai", COMPLETIONS, shows, SCRIPTED))


@pytest.mark.parametrize("replies, error, requests, options", [
    same("400 of an engine", [failure(400)], "BadRequestError", 1),
    same("401 of an engine", [failure(401)], "AuthenticationError", 1),
    same("403 of an engine", [failure(403)], "PermissionDeniedError", 1),
    same("404 of an engine", [failure(404)], "NotFoundError", 1),
    same("409 is tried again", [failure(409, SOON)], "ConflictError", 3),
    same("422 of an engine", [failure(422)], "UnprocessableEntityError", 1),
    same("429 is tried again", [failure(429, SOON)], "RateLimitError", 3),
    same("429, then an answer", [failure(429, SOON), GOOD], None, 2),
    same("429 with `max_retries=0`", [failure(429, SOON)], "RateLimitError", 1, max_retries=0),
    same("500 with a message is tried again", [failure(500, SOON)], "InternalServerError", 3),
    same("503 is tried again", [failure(503, SOON)], "InternalServerError", 3),
    same("503, then an answer", [failure(503, SOON), failure(503, SOON), GOOD], None, 3),
])
def test_the_same_exception_after_the_same_tries(stage, replies, error, requests, options):
    direct, proxied = stage.both(replies, **options)
    assert (direct["error"] or {}).get("class") == error and direct["requests"] == requests
    assert proxied == direct


@row("openai", COMPLETIONS, "429 with a `retry-after` too long to wait", SCRIPTED)
def test_an_engine_that_asks_for_a_long_wait_is_not_asked_again(tmp_path):
    with running_stage(tmp_path, outcome, ask, GOOD) as alone:  # batchproxy leaves that engine in peace for 30 s
        direct, proxied = alone.both([failure(429, b"retry-after: 999\r\n")])
    assert direct["error"]["class"] == "RateLimitError" and direct["requests"] == 1
    assert proxied == direct


@row("openai", COMPLETIONS, "`x-should-retry` of an engine", SCRIPTED)
def test_an_engine_that_says_not_to_try_again_is_heard(stage):
    direct, proxied = stage.both([failure(503, b"x-should-retry: false\r\n" + SOON)])
    assert direct["requests"] == 1
    assert proxied == direct


@row("openai", COMPLETIONS, "`retry-after-ms` of an engine", SCRIPTED)
def test_an_engine_that_says_when_to_try_again_is_heard(stage):
    def wait_asked_for(client):
        try:
            return complete()(client, "m")
        except openai.RateLimitError as error:
            return error.response.headers.get("retry-after-ms")

    direct, proxied = stage.both([failure(429, b"retry-after-ms: 5\r\n")], wait_asked_for, max_retries=0)
    assert direct["result"] == "5"
    assert proxied == direct


# --- where batchproxy differs on purpose ----------------------------------------------------------

@row("openai", COMPLETIONS, "an engine drops the connection once", SCRIPTED, "no error: asked again by batchproxy")
def test_one_dropped_connection_is_not_seen(stage):
    direct, proxied = stage.both([DROPPED, GOOD], max_retries=0)
    assert direct["error"]["class"] == "APIConnectionError"
    assert proxied["error"] is None and proxied["requests"] == 1 and proxied["reached"] == 2


@row("openai", COMPLETIONS, "an engine fails once with an empty 500", SCRIPTED, "no error: asked again by batchproxy")
def test_one_empty_500_is_not_seen(stage):
    direct, proxied = stage.both([answer(b"", b"500 Internal Server Error"), GOOD], max_retries=0)
    assert direct["error"]["class"] == "InternalServerError" and direct["error"]["body"] == ""
    assert proxied["error"] is None and proxied["requests"] == 1 and proxied["reached"] == 2


@row("openai", COMPLETIONS, "an engine always drops the connection", SCRIPTED,
     "`InternalServerError` 502 `backend_lost` instead of `APIConnectionError`, as often tried again")
def test_a_dead_engine_is_a_502_that_is_tried_again(stage):
    direct, proxied = stage.both([DROPPED], max_retries=1)
    assert direct["error"]["class"] == "APIConnectionError"
    assert proxied["error"]["status_code"] == 502 and proxied["error"]["code"] == "backend_lost"
    assert proxied["requests"] == direct["requests"] == 2


@row("openai", COMPLETIONS, "an engine always fails with an empty 500", SCRIPTED,
     "502 `bad_backend_response` with a message instead of 500 without, as often tried again")
def test_an_engine_that_only_fails_is_a_502_that_is_tried_again(stage):
    direct, proxied = stage.both([answer(b"", b"500 Internal Server Error", SOON)], max_retries=1)
    assert direct["error"]["status_code"] == 500
    assert proxied["error"]["status_code"] == 502 and proxied["error"]["code"] == "bad_backend_response"
    assert proxied["error"]["class"] == direct["error"]["class"] == "InternalServerError"
    assert proxied["requests"] == direct["requests"] == 2


@row("openai", COMPLETIONS, "`timeout` below 4 s passes", SCRIPTED,
     "`APITimeoutError`, or 504 `backend_timeout` at the same moment; as often tried again")
def test_a_short_time_out(stage):
    direct, proxied = stage.both([SILENCE], timeout=0.3, max_retries=1)
    assert direct["error"]["class"] == "APITimeoutError"
    assert proxied["error"]["class"] == "APITimeoutError" or proxied["error"]["code"] == "backend_timeout"
    assert proxied["requests"] == direct["requests"] == 2


@row("openai", COMPLETIONS, "`timeout` above 4 s passes", SCRIPTED,
     "504 `backend_timeout` 2 s before it instead of `APITimeoutError`")
def test_a_longer_time_out(stage):
    stage.recover()
    proxied = stage.play(stage.proxied, [SILENCE], timeout=4.1, max_retries=0)
    assert proxied["error"]["class"] == "InternalServerError" and proxied["error"]["code"] == "backend_timeout"


# --- streams --------------------------------------------------------------------------------------

def texts(client):
    return [event.choices[0].text for event in complete(stream=True)(client, "m")]


def stream_that_ends(after):
    return [STREAM + chunk(EVENT) + after]


@row("openai", COMPLETIONS, "429 instead of a stream, then a stream", SCRIPTED)
def test_a_refused_stream_is_tried_again(stage):
    whole = STREAM + chunk(EVENT) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    direct, proxied = stage.both([failure(429, SOON), whole], texts)
    assert direct["result"] == ["A"] and direct["requests"] == 2
    assert proxied == direct


@row("openai", COMPLETIONS, "an error event of an engine in a stream", SCRIPTED)
def test_an_engines_error_event_passes(stage):
    event = b'data: {"error":{"message":"out of blocks","type":"SomeError","param":null,"code":500}}\n\n'
    direct, proxied = stage.both(stream_that_ends(chunk(event) + b"0\r\n\r\n"), texts)
    assert direct["error"]["class"] == "APIError" and direct["error"]["text"] == "out of blocks"
    assert proxied == direct


@row("openai", COMPLETIONS, "a stream breaks between two events", SCRIPTED,
     "`APIError` with `backend_lost` instead of `APIConnectionError`")
def test_a_broken_stream_is_an_error(stage):
    direct, proxied = stage.both(stream_that_ends(b""), texts)
    assert direct["error"]["class"] == "APIConnectionError"
    assert proxied["error"]["class"] == "APIError" and proxied["error"]["code"] == "backend_lost"
    assert proxied["requests"] == 1


@row("openai", COMPLETIONS, "a stream breaks within an event", SCRIPTED,
     "`APIError` with `backend_lost` instead of `APIConnectionError`")
def test_a_stream_broken_within_an_event_is_an_error(stage):
    direct, proxied = stage.both(stream_that_ends(chunk(EVENT[:40])), texts)
    assert direct["error"]["class"] == "APIConnectionError"
    assert proxied["error"]["class"] == "APIError" and proxied["error"]["code"] == "backend_lost"
    assert proxied["requests"] == 1


RESPONSE_EVENT = (b'event: response.output_text.delta\n'
                  b'data: {"type":"response.output_text.delta","item_id":"x","delta":"A"}\n\n')


@row("openai", RESPONSES, "a stream breaks between two events", SCRIPTED,
     "`APIError` with `backend_lost` instead of `APIConnectionError`")
def test_a_broken_stream_of_a_response_is_an_error(stage):
    direct, proxied = stage.both([STREAM + chunk(RESPONSE_EVENT)],
                                 lambda client: [event.type for event in respond(stream=True)(client, "m")])
    assert direct["error"]["class"] == "APIConnectionError"
    assert proxied["error"]["class"] == "APIError" and proxied["error"]["code"] == "backend_lost"


# --- cancelling -----------------------------------------------------------------------------------

def cancel_after_three_events(url, model, max_tokens=15000):
    def ask(client):
        stream = chat(stream=True, max_tokens=max_tokens, temperature=1, extra_body={"ignore_eos": True})(client, model)
        with stream:
            return [next(stream).choices[0].index for _ in range(3)]

    return outcome(url, ask)


@row("openai", CHAT, "a cancelled stream frees the engine", LLAMA)
def test_a_cancelled_stream_frees_llama(tmp_path, model_file):
    with running_llama(tmp_path, model_file) as engine, proxy_before(tmp_path, engine.url) as proxy:
        for url in (engine.url, proxy.url):
            before = metric(engine.url, "llamacpp:tokens_predicted_total")
            assert cancel_after_three_events(url, LLAMA_MODEL)["result"] == [0, 0, 0]
            wait_until(lambda: metric(engine.url, "llamacpp:requests_processing") == 0, "the engine to be free")
            assert metric(engine.url, "llamacpp:tokens_predicted_total") - before < 15000
        wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "the count")


@pytest.mark.full("vllm")
@row("openai", CHAT, "a cancelled stream frees the engine", VLLM)
def test_a_cancelled_stream_frees_vllm(vllm_engines, tmp_path):
    engine = vllm_engines[0]
    with proxy_before(tmp_path, engine.url) as proxy:
        for url in (engine.url, proxy.url):
            assert cancel_after_three_events(url, engines.MODEL, 8000)["result"] == [0, 0, 0]
            wait_until(engine.is_idle, "the engine to be free")
        wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "the count")


@row("openai", CHAT, "a cancelled stream frees the engine", SIMULATED)
def test_a_cancelled_stream_frees_the_simulated_engine(tmp_path):
    with running_sim(tmp_path, "--sim-time-scale", "1") as engine, proxy_before(tmp_path, engine.url) as proxy:
        for url in (engine.url, proxy.url):
            assert cancel_after_three_events(url, SIM_MODEL)["result"] == [0, 0, 0]
            wait_until(lambda: metric(engine.url, "vllm:num_requests_running") == 0, "the engine to be free")
        wait_until(lambda: proxy.status()["requests"]["finished"]["client_gone"] == 1, "the count")
