"""Short runs of the chaos harness, and the full ones as parts of `scripts/test --full`. See docs/FAILURES.md."""
import json
import os
import subprocess
import sys

import pytest

from tests.support.builds import BUILD, ROOT, is_sanitized
from tests.support.failing_engine import text_of, usage_of

from . import client, harness

pytestmark = pytest.mark.alone


def run(program, *flags, patience=120):
    """Runs one of the programs here, as from a shell; its table is what a failure shows."""
    ended = subprocess.run([sys.executable, "-m", f"tests.chaos.{program}", *map(str, flags)], cwd=ROOT, text=True,
                           env={**os.environ, "BATCHPROXY_BUILD": str(BUILD)}, timeout=patience,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout.rsplit("\n", 2)[-2]


def test_the_program_may_be_named_relative_to_here(monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = harness.parser_of("").parse_args(["--binary", "build/release/proxy/batchproxy"])
    assert arguments.binary == ROOT / "build" / "release" / "proxy" / "batchproxy"


@pytest.mark.parametrize("flags", [[], ["--merge", "always", "--sigstop"]], ids=["default", "merged, stopped"])
def test_ten_seconds_of_chaos(flags):
    run("chaos", "--seconds", 10, "--requests", 800, "--workers", 64, "--max-spent", 0.3, *flags)


def test_two_drains():
    run("drain", "--repeats", 2)


def test_half_a_minute_of_the_night():
    run("night", "--seconds", 30, "--requests", 300, "--workers", 64, "--pause", 1, 2, patience=300)


def test_a_file_of_questions_while_everything_dies():
    run("jobs", "--questions", 8000, "--proxy-kills", 3, "--engine-every", 1, "--run-kills", 2)


@pytest.mark.full("jobs")
def test_100_000_questions_while_everything_dies():
    run("jobs", "--time-scale", 1, "--compare", patience=3600)


@pytest.mark.full("chaos")
@pytest.mark.parametrize("flags", [[], ["--merge", "always"], ["--sigstop"]], ids=["default", "merged", "stopped"])
def test_two_minutes_of_chaos(flags):
    run("chaos", *flags, patience=600)


@pytest.mark.full("drain")
def test_twenty_drains():
    run("drain", "--repeats", 20, patience=600)


@pytest.mark.full("soak")
def test_twenty_minutes_of_soaking():
    if is_sanitized():
        pytest.skip("a sanitizer keeps memory for itself")
    run("soak", patience=1800)


@pytest.mark.full("night")
def test_a_night():
    run("night", patience=1800)


# --- the client itself: it sees what it is there to see ---------------------------------------------

PLAIN = client.Request("id", ["one two"])
LIST = client.Request("id", ["one two", "three"])
STREAM = client.Request("id", ["one two"], stream=True)


def good_body(request):
    spent = [sum(column) for column in zip(*map(usage_of, request.prompts))]
    return {"choices": [{"index": i, "text": text_of(prompt)} for i, prompt in enumerate(request.prompts)],
            "usage": {"prompt_tokens": spent[0], "completion_tokens": spent[1]}}


def response(body, status=200, cut=False, extra=b"", **headers):
    fields = {"x-request-id": "id", "x-batchproxy-attempts": "1"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    return client.Response(status, fields, body if isinstance(body, bytes) else json.dumps(body).encode(), cut, extra)


def error(code):
    return {"error": {"message": "", "type": "", "param": None, "code": code}}


def events(*texts, end=b"data: [DONE]\n\n", **last):
    body = b"".join(b"data: %s\n\n" % json.dumps({"choices": [{"text": text}]}).encode() for text in texts)
    return response(body + (b"data: %s\n\n" % json.dumps(last).encode() if last else b"") + end,
                    content_type="text/event-stream")


SWAPPED = {**good_body(LIST), "choices": [{**choice, "index": 1 - choice["index"]} for choice in
                                          good_body(LIST)["choices"]]}
WHOLE = text_of("one two")


@pytest.mark.parametrize("request_, answer, verdict", [
    (PLAIN, response(good_body(PLAIN)), "right"),
    (LIST, response(good_body(LIST)), "right"),
    (LIST, response(SWAPPED), "misrouted"),
    (PLAIN, response(good_body(client.Request("", ["another"]))), "misrouted"),
    (PLAIN, response({**good_body(PLAIN), "usage": {"prompt_tokens": 9, "completion_tokens": 1}}), "wrong usage"),
    (PLAIN, response(good_body(PLAIN), x_request_id="other"), "wrong headers"),
    (PLAIN, response(good_body(PLAIN), x_batchproxy_attempts="6"), "wrong headers"),
    (PLAIN, response(good_body(PLAIN), extra=b"HTTP/1.1 200 OK"), "extra bytes"),
    (PLAIN, response(good_body(PLAIN), cut=True), "cut"),
    (PLAIN, response(b"<html>"), "invented"),
    (PLAIN, response(error("backend_lost")), "invented"),
    (PLAIN, response({"choices": []}), "misrouted"),
    (PLAIN, response(b"<html>", 502), "invented"),
    (PLAIN, response(error("backend_lost"), 502, x_batchproxy_code="backend_lost"), "spent"),
    (PLAIN, response(error(500), 500, x_batchproxy_attempts="3"), "spent"),
    (PLAIN, response(error(500), 500), "wrong status"),
    (PLAIN, response(error("no_backend"), 503, x_batchproxy_code="no_backend"), "wrong status"),
    (PLAIN, response(error("no_backend"), 502, x_batchproxy_code="backend_lost"), "wrong headers"),
    (client.Request("id", ["one two"], mark="400"), response(error(400), 400), "marked"),
    (client.Request("id", ["one two"], mark="hang"), response(error("x"), 503, x_batchproxy_code="x"), "wrong status"),
    (STREAM, events(WHOLE[:8], WHOLE[8:]), "right"),
    (STREAM, events(WHOLE[:8]), "invented"),
    (STREAM, events("nonsense"), "misrouted"),
    (STREAM, events(WHOLE[:8], end=b""), "cut"),
    (STREAM, events(WHOLE[:8], end=b"", **error("backend_lost")), "stream lost"),
    (STREAM, events(WHOLE[:8], **error("backend_lost")), "invented"),
    (STREAM, response(good_body(PLAIN)), "invented"),
])
def test_the_judge(request_, answer, verdict):
    assert client.judge(request_, answer)[0] == verdict


@pytest.mark.parametrize("framing", [b"content-length: 5\r\n\r\nabcde",
                                     b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"])
def test_the_client_reads_answers_cut_anywhere(framing):
    data = b"HTTP/1.1 200 OK\r\nx-request-id: a\r\n" + framing
    for length in range(len(data)):
        assert client.parse(data[:length], False) is None
        early = client.parse(data[:length], True)
        assert early is None or early.cut
    whole = client.parse(data + b"more", False)
    assert (whole.body, whole.cut, whole.extra) == (b"abcde", False, b"more")
