"""Requests that are wrong: through the proxy each gets the status that vLLM gives, and is told what is wrong.

Most are the engine's to refuse, and its words pass through. The proxy itself answers what it cannot route."""
import contextlib
import dataclasses
import http.client
import json
import signal

import pytest

from tests.support.asking import MODEL
from tests.support.proxy import Proxy, SimEngine
from tests.support.waiting import DEADLINE

COMPLETIONS, CHAT, BATCH = "/v1/completions", "/v1/chat/completions", "/v1/chat/completions/batch"
JSON = {"Content-Type": "application/json"}


@dataclasses.dataclass
class Case:
    name: str
    path: str
    body: bytes | None
    says: str                 # part of the message
    code: str | None = None   # the proxy's own word; None: the engine answers
    status: int = 400
    method: str = "POST"
    headers: dict | None = None
    param: str | None = ...   # of the error; not looked at unless given
    direct: int | None = None  # the engine's own status, where the proxy is stricter


def completion(**fields):
    return json.dumps({"model": MODEL, "prompt": "hello", "max_tokens": 2, **fields}).encode()


def chat(**fields):
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2,
                       **fields}).encode()


def spliced(name, text):
    """A completion whose field `name` is written as `text`, which need not be JSON."""
    return completion(**{name: "@@"}).replace(b'"@@"', text)


CASES = [
    # --- not JSON, or not an object
    Case("words", COMPLETIONS, b"model=x&prompt=hello", "line 1, column 1 (byte 0): found `model=x&prompt=h`", "invalid_json"),
    Case("empty-body", COMPLETIONS, b"", "no body", "invalid_json"),
    Case("only-blanks", COMPLETIONS, b"  \r\n ", "no body", "invalid_json"),
    Case("truncated-json", COMPLETIONS, completion()[:-9], "found the end", "invalid_json"),
    Case("truncated-string", COMPLETIONS, b'{"model":"m","prompt":"hel', "(byte 26): found the end", "invalid_json"),
    Case("trailing-garbage", COMPLETIONS, completion() + b" and more", "found `and`", "invalid_json"),
    Case("two-objects", COMPLETIONS, completion() + completion(), "found `{\"model\"`", "invalid_json"),
    Case("no-colon", COMPLETIONS, b'{"model" "m"}', "column 10 (byte 9): found `\"m\"`", "invalid_json"),
    Case("single-quotes", COMPLETIONS, b"{'model': 'm', 'prompt': 'x'}", "(byte 1): found `'model'`", "invalid_json"),
    Case("invalid-utf8", COMPLETIONS, spliced("prompt", b'"\xff\xfe"'), "found the byte 0xff", "invalid_json"),
    Case("a-list", COMPLETIONS, b"[" + completion() + b"]", "object", "invalid_request"),
    Case("a-number", COMPLETIONS, b"7", "object", "invalid_request"),
    Case("null", CHAT, b"null", "object", "invalid_request"),
    Case("comma-too-much", COMPLETIONS, b'{"model": "m",\n "prompt": "x",\n}', "line 3, column 1 (byte 31): found `}`",
         "invalid_json"),
    Case("deep-nesting", COMPLETIONS, spliced("x", b"[" * 100_000), "", "invalid_json"),
    Case("deep-but-closed", COMPLETIONS, spliced("x", b"[" * 5_000 + b"]" * 5_000), "more than 64 deep", "invalid_json"),
    Case("not-a-number", COMPLETIONS, spliced("temperature", b"NaN"), "JSON decode error"),
    # --- fields of the wrong type
    Case("model-is-a-number", COMPLETIONS, completion(model=7), "`model` must be a string", "invalid_request",
         param="model"),
    Case("stream-is-a-word", CHAT, chat(stream="maybe"), "should be a valid boolean"),
    Case("model-twice", COMPLETIONS, completion()[:-1] + b', "model": "other"}', "given once", "invalid_request",
         param="model", direct=404),
    Case("prompt-twice", COMPLETIONS, completion()[:-1] + b', "prompt": "other"}', "given once", "invalid_request",
         param="prompt", direct=200),
    Case("prompt-is-a-number", COMPLETIONS, completion(prompt=7), "valid string", param="body.prompt"),
    Case("prompt-is-an-object", COMPLETIONS, completion(prompt={"text": "x"}), "valid string", param="body.prompt"),
    Case("strings-and-ids-mixed", COMPLETIONS, completion(prompt=["a", 1]), "valid string", param="body.prompt.0"),
    Case("ids-and-strings-mixed", COMPLETIONS, completion(prompt=[1, "a"]), "valid string", param="body.prompt.1"),
    Case("negative-id", COMPLETIONS, completion(prompt=[[1], [-1]]), "greater than or equal", param=...),
    Case("id-out-of-vocabulary", COMPLETIONS, completion(prompt=[10 ** 17]), "out of vocabulary"),
    Case("max-tokens-is-a-word", COMPLETIONS, completion(max_tokens="many"), "valid integer", param="body.max_tokens"),
    Case("stop-is-a-number", COMPLETIONS, completion(stop=7), "valid string", param="body.stop"),
    Case("messages-is-text", CHAT, chat(messages="hello"), "valid list", param="body.messages"),
    Case("message-without-role", CHAT, chat(messages=[{"content": "x"}]), "needs a role", param="body.messages"),
    Case("options-without-stream", CHAT, chat(stream_options={"include_usage": True}), "stream=True",
         param="stream_options"),
    # --- nothing to read
    Case("no-prompt", COMPLETIONS, completion(prompt=None), "provided and non-empty", param="prompt"),
    Case("empty-prompt", COMPLETIONS, completion(prompt=""), "provided and non-empty", param="prompt"),
    Case("empty-list", COMPLETIONS, completion(prompt=[]), "at least one prompt"),
    Case("one-empty-of-a-list", COMPLETIONS, completion(prompt=["x", ""]), "cannot be empty"),
    Case("no-messages", CHAT, chat(messages=None), "Field required", param="body.messages"),
    Case("empty-messages", CHAT, chat(messages=[]), "Cannot apply chat template to an empty conversation", param=None),
    Case("empty-batch", BATCH, chat(messages=[]), "at least 1 item", param="body.messages"),
    Case("empty-input", "/v1/embeddings", json.dumps({"model": "embedder", "input": ""}).encode(),
         "cannot be empty"),
    Case("nothing-to-rank", "/rerank", json.dumps({"model": "embedder", "query": "x", "documents": []}).encode(),
         "At least one"),
    # --- numbers out of bounds
    Case("max-tokens-huge", COMPLETIONS, completion(max_tokens=10 ** 20), "max_tokens=100000000000000000000 cannot",
         param="max_tokens"),
    Case("max-tokens-negative", COMPLETIONS, completion(max_tokens=-1), "at least 1, got -1", param="max_tokens"),
    Case("max-tokens-zero", CHAT, chat(max_tokens=0), "at least 1, got 0", param="max_tokens"),
    Case("temperature-infinite", COMPLETIONS, spliced("temperature", b"3e400"), "finite", param="temperature"),
    Case("temperature-negative", CHAT, chat(temperature=-1), "non-negative", param="temperature"),
    Case("n-zero", COMPLETIONS, completion(n=0), "n must be at least 1", param=None),
    Case("n-huge", COMPLETIONS, completion(n=10 ** 9), "n must be at most", param=None),
    Case("logprobs-huge", COMPLETIONS, completion(logprobs=100), "max allowed: 20", param="logprobs"),
    Case("context-too-long", COMPLETIONS, completion(prompt="word " * 2000), "maximum context length is 1000 tokens",
         param="input_tokens"),
    Case("context-too-long-of-a-list", COMPLETIONS, completion(prompt=["x", "word " * 2000]),
         "maximum context length", param="input_tokens"),
    # --- somewhere else
    Case("unknown-model", COMPLETIONS, completion(model="gpt-5"), "`gpt-5` does not exist", "unknown_model", 404,
         param="model"),
    Case("unknown-route", "/v1/complete", completion(), "/v1/complete", "unknown_route", 404),
    Case("root", "/", b"{}", "nothing at /", "unknown_route", 404),
    Case("get-completions", COMPLETIONS, None, "takes POST, not GET", "method_not_allowed", 405, "GET"),
    Case("put-chat", CHAT, chat(), "takes POST, not PUT", "method_not_allowed", 405, "PUT"),
    Case("post-models", "/v1/models", b"{}", "takes GET, not POST", "method_not_allowed", 405),
    Case("form-content", COMPLETIONS, completion(), "application/json",
         headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("no-content-type", COMPLETIONS, completion(), "application/json", headers={}),
    # --- the prompt makes the engine fail
    Case("engine-refuses", COMPLETIONS, completion(prompt=["x", "@@400@@"]), "@@400@@", param="prompt"),
    Case("engine-fails", CHAT, chat(messages=[{"role": "user", "content": "@@500@@"}]), "@@500@@", status=500),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One proxy and two engines for all cases, each of its own kind: each case must leave them in order."""
    folder = tmp_path_factory.mktemp("malformed")
    engine = SimEngine(folder, "--max-model-len", "1000")
    embedder = SimEngine(folder, "--runner", "pooling", "--served-model-name", "embedder")
    proxy = Proxy(["--backend", engine.url, "--backend", embedder.url], folder).ready(2)
    proxy.engine, proxy.embedder = engine, embedder
    yield proxy
    proxy.assert_balanced()
    assert proxy.stop() == 0
    engine.stop(signal.SIGTERM)
    embedder.stop(signal.SIGTERM)


def connect(url):
    return contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE))


def ask(connection, case):
    """The response with its body, over this very connection."""
    connection.putrequest(case.method, case.path, skip_accept_encoding=True)
    for name, value in {**(JSON if case.headers is None else case.headers), "X-Request-Id": case.name}.items():
        connection.putheader(name, value)
    if case.body is not None:
        connection.putheader("Content-Length", str(len(case.body)))
    connection.endheaders(case.body)
    response = connection.getresponse()
    return response, response.read()


GOOD = Case("afterwards", COMPLETIONS, completion(), "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_malformed_request_gets_vllms_status_and_is_told_why(served, case):
    asked = served.embedder if case.body and b"embedder" in case.body else served.engine
    with connect(asked.url) as connection:
        direct = ask(connection, case)[0].status
    assert direct == (case.direct or case.status)

    with connect(served.url) as connection:
        response, text = ask(connection, case)
        assert response.status == case.status, text
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert case.says in error["message"]
        if case.param is not ...:
            assert error["param"] == case.param
        assert error["code"] == (case.code or case.status)
        assert response.headers["x-batchproxy-code"] == case.code
        assert response.headers["x-request-id"] == case.name
        assert response.headers["allow"] == (("GET, HEAD" if case.path == "/v1/models" else "POST") + ", OPTIONS"
                                             if case.status == 405 else None)

        before = connection.sock  # None once the answer has announced the end
        again, _ = ask(connection, GOOD)
        assert again.status == 200
        assert before is None or before is connection.sock
        # Only what was refused before its body was read may cost the connection.
        assert (before is None) == (case.code in {"unknown_route", "method_not_allowed"})

