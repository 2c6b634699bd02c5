"""The anthropic package, side by side: each call goes to an engine directly and through batchproxy."""
import asyncio

import anthropic
import pytest

from tests.support.scripted_engine import ScriptedEngine
from tests.support.wire import answer, chunk

from . import compatibility, servers
from .anthropic_calls import both, count, message, outcome, streamed
from .compatibility import LLAMA, SCRIPTED, VLLM, row
from .outcomes import joined, plain
from .stage import DROPPED, SOON, STREAM, failure, running_stage

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
ASKED = [{"role": "user", "content": "Which?"}]
LONG = [{"role": "user", "content": "word " * 20000}]
GOOD = answer(b'{"id":"x","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"A"}],'
              b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}')
START = (b'event: message_start\ndata: {"type":"message_start","message":{"id":"x","type":"message",'
         b'"role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,'
         b'"usage":{"input_tokens":1,"output_tokens":0}}}\n\n')


def declared(endpoint, shows, difference=""):
    return row("anthropic", endpoint, shows, LLAMA, difference)


def case(endpoint, shows, call, engines=(LLAMA, VLLM)):
    return [compatibility.case("anthropic", endpoint, shows, engine, call) for engine in engines]


def final_message(client, model):
    """The package's own way to read a stream."""
    with client.messages.stream(model=model, messages=ASKED, max_tokens=8,
                                extra_body={"temperature": 0}) as stream:
        return "".join(stream.text_stream), stream.get_final_message()


@pytest.mark.parametrize("engine, call", [
    *case(MESSAGES, "one answer", message()),
    *case(MESSAGES, "`system`, `stop_sequences`, several turns",
         message(system="Answer with a letter.", stop_sequences=["e"],
                 messages=[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
                           {"role": "user", "content": [{"type": "text", "text": "three"}]}])),
    *case(MESSAGES, "stream", streamed(message(stream=True)), [LLAMA]),
    *case(MESSAGES, "stream", lambda client, model: joined(message(stream=True)(client, model)), [VLLM]),
    *case(MESSAGES, "`messages.stream`", final_message),
    *case(COUNT, "a conversation", count()),
    *case(COUNT, "`system`", count(system="Answer with a letter.")),
])
def test_answers_are_equal(pairs, engine, call):
    direct, proxied = both(pairs(engine), call)
    assert direct["error"] is None and direct["result"], direct
    assert proxied == direct


@pytest.mark.parametrize("engine, call", [
    *case(MESSAGES, "400: longer than the context", message(messages=LONG)),
    *case(MESSAGES, "400 instead of a stream", streamed(message(messages=LONG, stream=True))),
])
def test_refusals_are_equal(pairs, engine, call):
    direct, proxied = both(pairs(engine), call)
    assert direct["error"]["class"] == "BadRequestError" and direct["requests"] == 1, direct
    assert proxied == direct


@pytest.mark.parametrize("engine", [
    compatibility.case("anthropic", MESSAGES, "AsyncAnthropic: 16 calls at once", engine) for engine in (LLAMA, VLLM)])
def test_concurrent_calls_are_equal(pairs, engine):
    pair = pairs(engine)

    async def ask_all(url):
        async with anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client:
            return plain(await asyncio.gather(*[
                message(messages=[{"role": "user", "content": f"question {i}"}])(client, pair.model)
                for i in range(16)]))

    direct = asyncio.run(ask_all(pair.direct))
    assert len(direct) == 16
    assert asyncio.run(ask_all(pair.proxied)) == direct


# --- keys -----------------------------------------------------------------------------------------

KEY, OTHER = "a-key-of-sixteen-characters", "another-of-sixteen-characters"


@declared(MESSAGES, "401: the engine's own key, in `x-api-key` and as `auth_token`")
def test_an_engines_key_passes(tmp_path, model_file):
    with servers.running_llama(tmp_path, model_file, "--api-key", KEY) as engine, \
            servers.proxy_before(tmp_path, engine.url) as proxy:
        pair = servers.Pair(engine.url, proxy.url, servers.LLAMA_MODEL)
        for options in ({"api_key": KEY}, {"api_key": None, "auth_token": KEY}):
            direct, proxied = both(pair, message(), **options)
            assert direct["error"] is None and direct["result"]
            assert proxied == direct
        direct, proxied = both(pair, message(), api_key=OTHER)
        assert direct["error"]["class"] == "AuthenticationError"
        assert proxied == direct


# --- errors of our own ----------------------------------------------------------------------------

def assert_ours(error, name, status, code):
    """The package's exception, which it has found everything in."""
    assert (error["class"], error["status_code"]) == (name, status), error
    assert error["body"]["type"] == "error" and error["body"]["error"]["code"] == code
    assert error["type"] == error["body"]["error"]["type"]


@declared(MESSAGES, "401: a key that batchproxy does not know", "`code` is `invalid_api_key`")
def test_a_wrong_key_of_ours_is_an_authentication_error(tmp_path, llama_pair):
    (tmp_path / "keys.txt").write_text(f"team {KEY}\n")
    (tmp_path / "keys.txt").chmod(0o600)
    with servers.running_proxy(tmp_path, "--backend", llama_pair.direct, "--api-keys-file", "keys.txt") as proxy:
        proxy.ready(1)
        for options in ({"api_key": OTHER}, {"api_key": None, "auth_token": OTHER}):
            refused = outcome(proxy.url, lambda client: message()(client, llama_pair.model), **options)
            assert_ours(refused["error"], "AuthenticationError", 401, "invalid_api_key")
            assert refused["requests"] == 1
        taken = outcome(proxy.url, lambda client: message()(client, llama_pair.model), api_key=KEY)
        assert taken["error"] is None


@declared(MESSAGES, "404: unknown model", "llama.cpp answers to any name, batchproxy to those it serves")
@pytest.mark.parametrize("call", [message(model="no-such"), streamed(message(model="no-such", stream=True)),
                                  count(model="no-such")])
def test_a_name_that_the_engine_would_ignore_is_refused(llama_pair, call):
    direct, proxied = both(llama_pair, call)
    assert direct["error"] is None
    assert_ours(proxied["error"], "NotFoundError", 404, "unknown_model")
    assert llama_pair.model in proxied["error"]["text"]


@pytest.mark.full("vllm")
@row("anthropic", MESSAGES, "404: unknown model", VLLM,
     "the message lists the models that are served; `code` is `unknown_model`")
def test_an_unknown_model_is_the_same_exception_with_our_body(vllm_pair):
    direct, proxied = both(vllm_pair, message(model="no-such"))
    assert (direct["error"]["class"], direct["error"]["body"]["type"]) == ("NotFoundError", "error")
    assert_ours(proxied["error"], "NotFoundError", 404, "unknown_model")
    assert vllm_pair.model in proxied["error"]["text"]


@row("anthropic", MESSAGES, "no engine is up", SCRIPTED,
     "`ServiceUnavailableError` 503 `no_backend` after `hold_timeout`, instead of `APIConnectionError`")
def test_no_engine_is_a_503(tmp_path):
    engine = ScriptedEngine(lambda *_: GOOD)
    config = tmp_path / "batchproxy.yaml"
    config.write_text(f"batchproxy: {{health_interval: 0.2, hold_timeout: 0, backends: [{{url: '{engine.url}'}}]}}\n")
    with servers.running_proxy(tmp_path, "--config", config) as proxy:
        proxy.ready(1)
        engine.health = b"503 Service Unavailable"
        servers.wait_until(lambda: servers.call(proxy.url, "/health")[0].status == 503, "the engine to be down")
        told = outcome(proxy.url, ask, max_retries=0)
        assert_ours(told["error"], "ServiceUnavailableError", 503, "no_backend")
    engine.close()


# --- a scripted engine ----------------------------------------------------------------------------

def ask(client):
    return message()(client, "m")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with running_stage(tmp_path_factory.mktemp("scripted"), outcome, ask, GOOD) as one:
        yield one


def anthropics(status, kind, extra=b""):
    """An error as Anthropic's API, and vLLM at this path, give it."""
    return answer(b'{"type":"error","error":{"type":"%s","message":"no"}}' % kind, b"%d Status" % status, extra)


def same(shows, replies, error, requests, **options):
    return pytest.param(replies, error, requests, options, id=shows, marks=row("anthropic", MESSAGES, shows, SCRIPTED))


@pytest.mark.parametrize("replies, error, requests, options", [
    same("400 of an engine, as Anthropic's API and vLLM give it", [anthropics(400, b"invalid_request_error")],
         "BadRequestError", 1),
    same("400 of an engine, as OpenAI's API gives it", [failure(400)], "BadRequestError", 1),
    same("404 of an engine", [anthropics(404, b"not_found_error")], "NotFoundError", 1),
    same("429 is tried again", [anthropics(429, b"rate_limit_error", SOON)], "RateLimitError", 3),
    same("429, then an answer", [anthropics(429, b"rate_limit_error", SOON), GOOD], None, 2),
    same("529 is tried again", [anthropics(529, b"overloaded_error", SOON)], "OverloadedError", 3),
])
def test_the_same_exception_after_the_same_tries(stage, replies, error, requests, options):
    direct, proxied = stage.both(replies, **options)
    assert (direct["error"] or {}).get("class") == error and direct["requests"] == requests
    assert proxied == direct


def events(client):
    return [event.type for event in message(stream=True)(client, "m")]


@row("anthropic", MESSAGES, "an error event of an engine in a stream", SCRIPTED)
def test_an_engines_error_event_passes(stage):
    event = b'event: error\ndata: {"type":"error","error":{"type":"internal_error","message":"out of blocks"}}\n\n'
    direct, proxied = stage.both([STREAM + chunk(START) + chunk(event) + b"0\r\n\r\n"], events)
    assert direct["error"]["class"] == "APIStatusError" and direct["error"]["type"] == "internal_error"
    assert proxied == direct


@row("anthropic", MESSAGES, "a stream breaks between two events", SCRIPTED,
     "`APIStatusError` with `backend_lost` instead of the HTTP library's own exception")
def test_a_broken_stream_is_an_error_of_the_package(stage):
    direct, proxied = stage.both([STREAM + chunk(START)], events)
    assert direct["error"]["class"] == "RemoteProtocolError"
    assert_ours(proxied["error"], "APIStatusError", 200, "backend_lost")
    assert proxied["requests"] == 1


@row("anthropic", MESSAGES, "an engine drops the connection once", SCRIPTED, "no error: asked again by batchproxy")
def test_one_dropped_connection_is_not_seen(stage):
    direct, proxied = stage.both([DROPPED, GOOD], max_retries=0)
    assert direct["error"]["class"] == "APIConnectionError"
    assert proxied["error"] is None and proxied["requests"] == 1 and proxied["reached"] == 2


@row("anthropic", MESSAGES, "an engine always drops the connection", SCRIPTED,
     "`InternalServerError` 502 `backend_lost` instead of `APIConnectionError`, as often tried again")
def test_a_dead_engine_is_a_502_that_is_tried_again(stage):
    direct, proxied = stage.both([DROPPED], max_retries=1)
    assert direct["error"]["class"] == "APIConnectionError"
    assert_ours(proxied["error"], "InternalServerError", 502, "backend_lost")
    assert proxied["requests"] == direct["requests"] == 2
