"""Answers of a backend that are odd or malformed: what the client gets, and what becomes of the connection.

Each is given twice: in one piece, and byte by byte. An answer that is none must never reach the client, and no
byte of one request's answer may become another's."""
import contextlib
import dataclasses
import http.client
import json
import re
import threading
import time

import pytest

from tests.support.asking import call
from tests.support.proxy import Proxy
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

JSON = b'{"choices":[{"index":0,"text":"of the case"}]}'
EVIL = answer(b'{"choices":[{"index":0,"text":"evil"}]}')
OK, BAD, LOST = "ok", "bad", "lost"
CODES = {BAD: {"bad_backend_response"}, LOST: {"backend_lost", "poison_prompt"}}


@dataclasses.dataclass
class Case:
    name: str
    reply: bytes
    result: str           # OK: passed on; BAD, LOST: 502 with one of its codes
    reused: bool = False  # whether the connection may carry the next request
    fin: bool = False     # the backend closes behind the reply
    body: bytes = JSON    # that the client gets, if OK


def head(*fields, status=b"200 OK", version=b"HTTP/1.1"):
    return b"\r\n".join([version + b" " + status, b"Content-Type: application/json", *fields, b"", b""])


def counted(body, *fields, **kwargs):
    return head(*fields, b"Content-Length: %d" % len(body), **kwargs) + body


def chunks(*pieces, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


CHUNKED = head(b"Transfer-Encoding: chunked")
LARGE = b'{"choices":[],"x":"' + b"y" * 100_000 + b'"}'
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

CASES = [
    # --- whole answers
    Case("counted", counted(JSON), OK, reused=True),
    Case("counted-large", counted(LARGE), OK, reused=True, body=LARGE),
    Case("chunked", CHUNKED + chunks(JSON[:7], JSON[7:]), OK, reused=True),
    Case("chunked-with-extension-and-trailer",
         CHUNKED + b"%x;a=b\r\n" % len(JSON) + JSON + b"\r\n0\r\nX-T: 1\r\n\r\n", OK, reused=True),
    Case("close-asked-for", counted(JSON, b"Connection: close"), OK),
    Case("http10", counted(JSON, version=b"HTTP/1.0"), OK),
    Case("http10-keep-alive", counted(JSON, b"Connection: keep-alive", version=b"HTTP/1.0"), OK, reused=True),
    Case("to-the-end", head(version=b"HTTP/1.0") + JSON, OK, fin=True),
    Case("to-the-end-11", head() + JSON, OK, fin=True),
    Case("interim", b"HTTP/1.1 100 Continue\r\n\r\n" + counted(JSON), OK, reused=True),
    Case("eight-interim", HINT * 8 + counted(JSON), OK, reused=True),
    Case("no-reason", counted(JSON).replace(b"200 OK", b"200"), OK, reused=True),
    # --- cut short
    Case("nothing", b"", LOST, fin=True),
    Case("cut-head", head()[:20], LOST, fin=True),
    Case("cut-counted", counted(JSON)[:-5], LOST, fin=True),
    Case("cut-before-the-body", head(b"Content-Length: 46"), LOST, fin=True),
    Case("cut-chunk", CHUNKED + chunks(JSON, end=b"")[:-9], LOST, fin=True),
    Case("no-last-chunk", CHUNKED + chunks(JSON, end=b""), LOST, fin=True),
    Case("cut-trailer", CHUNKED + chunks(JSON, end=b"0\r\nX-T: 1\r\n"), LOST, fin=True),
    Case("cut-to-the-end", head(version=b"HTTP/1.0") + JSON[:-9], BAD, fin=True),
    Case("interim-then-nothing", HINT, LOST, fin=True),
    # --- two readings of where it ends
    Case("two-lengths", counted(JSON, b"Content-Length: 5"), BAD),
    Case("equal-lengths", counted(JSON, b"Content-Length: 46"), BAD),
    Case("length-list", head(b"Content-Length: 46, 46") + JSON, BAD),
    Case("length-signed", head(b"Content-Length: +46") + JSON, BAD),
    Case("length-and-chunked", counted(chunks(JSON), b"Transfer-Encoding: chunked"), BAD),
    Case("coding-unknown", head(b"Transfer-Encoding: gzip") + JSON, BAD, fin=True),
    Case("coding-twice", head(b"Transfer-Encoding: chunked, chunked") + chunks(JSON), BAD),
    Case("coding-in-http10", head(b"Transfer-Encoding: chunked", version=b"HTTP/1.0") + chunks(JSON), BAD),
    Case("chunk-size-overflows", CHUNKED + b"F" * 17 + b"\r\n", BAD),
    Case("chunk-size-is-no-number", CHUNKED + b"0x5\r\nhello\r\n", BAD),
    Case("chunk-goes-on", CHUNKED + b"2\r\n{}}\r\n0\r\n\r\n", BAD),
    Case("chunk-ends-in-lf", CHUNKED + b"2\n{}\n0\n\n", BAD),
    # --- not HTTP, or too much of it
    Case("garbage", b"\x00\x01\x02hello\r\n\r\n", BAD),
    Case("status-of-two-digits", counted(b"", status=b"20 OK"), BAD),
    Case("status-000", counted(b"", status=b"000 None"), BAD),
    Case("status-999", counted(JSON, status=b"999 All"), BAD),
    Case("version-2", counted(JSON, version=b"HTTP/2.0"), BAD),
    Case("switching", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", BAD),
    Case("endless-interim", HINT * 50 + counted(JSON), BAD),
    Case("folded-field", counted(JSON, b"X: a\r\n b"), BAD),
    Case("nul-in-a-field", counted(JSON, b"X: a\0b"), BAD),
    Case("bare-lf", counted(JSON).replace(b"\r\n", b"\n") + b"\r\n\r\n", BAD),
    Case("blank-before-colon", counted(JSON, b"X : a"), BAD),
    Case("head-too-large", counted(JSON, b"X: " + b"a" * 33_000), BAD),
    Case("endless-head", head()[:-2] + b"X: " + b"a" * 60_000, BAD),
    Case("too-many-fields", counted(JSON, *[b"X: a"] * 300), BAD),
    Case("body-too-large", head(b"Content-Length: 1099511627776") + b"{", BAD),
    Case("chunk-too-large", CHUNKED + b"fffffffffff\r\n{", BAD),
    Case("bare-error", counted(b"", status=b"500 Internal Server Error"), BAD),
    # --- bytes behind the answer
    Case("leftover-answer", counted(JSON) + EVIL, OK),
    Case("leftover-byte", counted(JSON) + b"H", OK),
    Case("leftover-behind-chunks", CHUNKED + chunks(JSON) + EVIL, OK),
    Case("leftover-behind-bare-error", counted(b"", status=b"500 Oops") + EVIL, BAD),
    # --- HTTP, but not the answer
    Case("no-content", b"HTTP/1.1 204 No Content\r\n\r\n", BAD),
    Case("no-content-with-a-body", counted(JSON, status=b"204 No Content"), BAD),
    Case("empty", counted(b""), BAD),
    Case("cut-json", counted(JSON[:-4]), BAD),
    Case("two-objects", counted(JSON + JSON), BAD),
    Case("a-list", counted(b"[]"), BAD),
    Case("words", counted(b"upstream connect error"), BAD),
    Case("html", counted(b"<html></html>").replace(b"application/json", b"text/html"), BAD),
    # --- the answer, under another type
    Case("plain-text", counted(JSON).replace(b"application/json", b"text/plain"), OK, reused=True),
    Case("some-json", counted(JSON).replace(b"application/json", b"application/vnd.api+json"), OK, reused=True),
    Case("no-type", counted(JSON).replace(b"Content-Type: application/json\r\n", b""), OK, reused=True),
]


def parametrized(cases):
    return pytest.mark.parametrize("case", [
        pytest.param(case, id=case.name) for case in cases])


def completion(prompt):
    return {"model": "m", "prompt": prompt, "max_tokens": 1}


def prompt_of(request):
    return json.loads(request.partition(b"\r\n\r\n")[2])["prompt"]


def right_answer(prompt):
    return b'{"choices":[{"index":0,"text":"right for %s"}]}' % prompt.encode()


def steps(case, split):
    pieces = [bytes([byte]) for byte in case.reply] if split == "byte by byte" else [case.reply]
    return [*pieces, *([None] if case.fin else [])]


def ask(proxy, prompt, headers=None):
    return call(proxy.url, "/v1/completions", completion(prompt), headers)


class Script:
    """Answers the prompts in `replies` with those steps: the first time only, or always."""

    def __init__(self, always=False):
        self.replies, self.always = {}, always
        self.backend = ScriptedEngine(self.reply)

    def reply(self, number, request, carried):
        prompt = prompt_of(request)
        found = self.replies.get(prompt) if self.always else self.replies.pop(prompt, None)
        return answer(right_answer(prompt)) if found is None else found

    def carriers(self, prompt):
        """The connections that this prompt came over, in order."""
        return [carrier for request, carrier in zip(self.backend.requests, self.backend.carriers)
                if prompt_of(request) == prompt]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One proxy with one connection pool, and one backend, for all cases."""
    script = Script()
    proxy = Proxy(["--backend", script.backend.url, "--io-threads", "1"], tmp_path_factory.mktemp("answers")).ready(1)
    proxy.script = script
    yield proxy
    proxy.assert_balanced()
    assert proxy.stop() == 0
    script.backend.close()


@pytest.mark.parametrize("split", ["at once", "byte by byte"])
@parametrized(CASES)
def test_an_answer_is_passed_on_whole_or_not_at_all(served, case, split):
    script, prompt, after = served.script, f"{case.name}, {split}", f"after {case.name}, {split}"
    # The backend has a connection to spare: who answers nothing over it is asked once more, unseen.
    wait_until(lambda: ask(served, f"before {prompt}")[0].status == 200, "the backend to be in use")
    script.replies[prompt] = steps(case, split)
    response, text = ask(served, prompt)
    if case.result == OK:
        assert response.status == 200 and text == case.body
        assert response.headers["x-batchproxy-attempts"] == "1"
    elif response.status == 200:  # the proxy has tried again
        assert text == right_answer(prompt)
        assert len(script.carriers(prompt)) > 1
    else:
        assert response.status == 502, text
        assert json.loads(text)["error"]["code"] in CODES[case.result]

    # What follows gets its own answer, and only over a connection with nothing left in it.
    wait_until(lambda: ask(served, after)[0].status == 200, "the backend to be in use")
    for again in (after, prompt, after):
        assert ask(served, again)[1] == right_answer(again)
    first = script.carriers(prompt)[0]
    later = {*script.carriers(after), *script.carriers(prompt)[1:]}
    assert case.reused == (first in later)


@parametrized([case for case in CASES if case.result != OK])
def test_an_answer_that_stays_wrong_is_a_502(start_proxy, case):
    script = Script(always=True)
    with contextlib.closing(script.backend):
        proxy = start_proxy("--backend", script.backend.url).ready(1)
        script.replies["p"] = steps(case, "at once")
        response, text = ask(proxy, "p")
        assert response.status == 502, text
        error = json.loads(text)["error"]
        assert error["code"] in CODES[case.result] and response.headers["x-batchproxy-code"] == error["code"]
        # Over a kept connection there may be one more each.
        assert 1 <= len(script.backend.requests) <= 6


def test_bytes_that_nobody_asked_for_are_no_answer(served):
    """They come while the connection rests, so that only a look at it can tell."""
    script, arrived, go = served.script, threading.Event(), threading.Event()
    for number in range(20):
        arrived.clear()
        go.clear()
        prompt = f"unasked {number}"
        script.replies[prompt] = [answer(right_answer(prompt)), lambda: go.wait(DEADLINE), EVIL, arrived.set]
        with contextlib.closing(http.client.HTTPConnection(served.address, timeout=DEADLINE)) as client:
            for each in (prompt, "after " + prompt):
                client.request("POST", "/v1/completions", json.dumps(completion(each)))
                assert client.getresponse().read() == right_answer(each)
                go.set()
                assert arrived.wait(DEADLINE)


def test_an_answer_that_drips_ends_with_the_clients_time(served):
    script, over = served.script, threading.Event()
    script.replies["drip"] = [step for byte in head(*[b"X: a"] * 100) for step in
                              (bytes([byte]), lambda: over.wait(0.05))]
    begin = time.monotonic()
    response, text = ask(served, "drip", {"x-stainless-read-timeout": "0.5"})
    over.set()
    assert response.status == 504 and json.loads(text)["error"]["code"] == "backend_timeout"
    assert time.monotonic() - begin < DEADLINE / 2
    assert ask(served, "after drip")[1] == right_answer("after drip")


# --- why ----------------------------------------------------------------------------------------------

REASONS = {
    "two lengths": (counted(JSON, b"Content-Length: 5"), "Malformed HTTP: more than one Content-Length."),
    "no HTTP": (b"hello\r\n\r\n", "Malformed HTTP: no status line."),
    "chunks": (CHUNKED + b"0x5\r\nhello\r\n", "Malformed HTTP: the chunked body has an error."),
    "too large": (head(b"Content-Length: 5000") + b"{",
                  "The answer has 5000 bytes, more than the 4096 of batchproxy.max_answer_bytes."),
    "too large in chunks": (CHUNKED + chunks(b"{" * 3000, b"{" * 3000),
                            "The answer has more than the 4096 of batchproxy.max_answer_bytes."),
    "another type": (counted(b"<html></html>").replace(b"application/json", b"text/html; charset=utf-8"),
                     "The answer is not a JSON object. Its Content-Type is text/html."),
    "NaN": (counted(b'{"logprobs":[NaN]}'), "The answer is not a JSON object at byte 13 (near `NaN`)."),
    "cut off": (counted(JSON[:-4]), f"The answer is not a JSON object at byte {len(JSON) - 4} (near the end)."),
    "a list": (counted(b"[1]"), "The answer is not a JSON object at byte 0 (near `[1`)."),
}


@pytest.mark.parametrize("reply, reason", REASONS.values(), ids=REASONS)
def test_a_refused_answer_says_why_to_its_client_and_in_the_log(start_proxy, tmp_path, reply, reason):
    backend = ScriptedEngine(lambda *_: reply)
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{backends: [{{url: '{backend.url}'}}], max_answer_bytes: 4096}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    response, text = ask(proxy, "x")
    assert response.status == 502
    assert json.loads(text)["error"]["message"].endswith(" sent an invalid answer. " + reason)
    # What stands in the answer is nothing for the log.
    logged = re.sub(r" \(near .*\)", "", reason)
    wait_until(lambda: any(f"an answer is refused. {logged}" in line for line in proxy.errors), proxy.output())
    backend.close()


@pytest.mark.parametrize("framing", ["chunked", "to the end"])
@pytest.mark.parametrize("field", [b"Content-Type: text/plain\r\n", b"Content-Type: application/x-ndjson\r\n", b""])
def test_events_under_another_type_are_relayed_as_they_come(start_proxy, field, framing):
    more = threading.Event()
    chunked = framing == "chunked"
    start = b"HTTP/1.1 200 OK\r\n" + field + (b"Transfer-Encoding: chunked\r\n" if chunked else b"") + b"\r\n"
    first, last = (chunks(b"ta: 1\n\n", end=b""), chunks(b"data: [DONE]\n\n")) if chunked else (
        b"ta: 1\n\n", b"data: [DONE]\n\n")
    backend = ScriptedEngine(lambda *_: [start, b"2\r\nda\r\n" if chunked else b"da", first,
                                          lambda: more.wait(DEADLINE), last, None])
    proxy = start_proxy("--backend", backend.url).ready(1)
    connection = http.client.HTTPConnection(proxy.address, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/completions", json.dumps({**completion("x"), "stream": True}))
        response = connection.getresponse()
        assert response.status == 200 and response.read(9) == b"data: 1\n\n"
        more.set()
        assert response.read() == b"data: [DONE]\n\n"
    backend.close()


@pytest.mark.parametrize("reply", [counted(b"da"), counted(b""), CHUNKED + chunks(), CHUNKED + chunks(b"da"),
                                   CHUNKED + b"x"])
def test_a_body_too_short_for_events_is_not_waited_for(start_proxy, reply):
    backend = ScriptedEngine(lambda *_: reply.replace(b"application/json", b"text/plain"))
    response, _ = call(start_proxy("--backend", backend.url).ready(1).url, "/v1/completions",
                       {**completion("x"), "stream": True})
    assert response.status == 502
    backend.close()


def test_a_stream_of_json_lines_is_not_relayed(start_proxy):
    reply = counted(JSON + b"\n" + JSON).replace(b"application/json", b"application/x-ndjson")
    backend = ScriptedEngine(lambda *_: reply)
    response, text = call(start_proxy("--backend", backend.url).ready(1).url, "/v1/completions",
                          {**completion("x"), "stream": True})
    assert response.status == 502 and b"Its Content-Type is application/x-ndjson" in text
    backend.close()
