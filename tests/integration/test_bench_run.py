"""`batchproxy-bench run` against simulated engines, and against servers that do as the test says."""
import json
import os
import re
import signal
import threading

import pytest

from tests.support.builds import BENCH, ROOT
from tests.support.load import bench, completion, result, write_choices, write_prompts
from tests.support.program import Program
from tests.support.proxy import write_config
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until
from tests.support.wire import STREAM_HEAD, answer, chunk, page

QUESTIONS = ROOT / "configs" / "questions.jsonl"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def body_of(request):
    return json.loads(request.partition(b"\r\n\r\n")[2])


# --- what is asked, and how -----------------------------------------------------------------------

def test_a_closed_loop_asks_each_question_once(start_engine, tmp_path):
    engine = start_engine()
    done = bench("run", "--url", engine.url, "--questions", QUESTIONS, "--workers", 16, "--json", tmp_path / "r.json",
                 "--lines", tmp_path / "r.jsonl")
    assert done.returncode == 0, done.stderr
    told, asked = result(tmp_path / "r.json"), lines(tmp_path / "r.jsonl")
    count = len(lines(QUESTIONS))
    assert told["completed"] == told["num_prompts"] == len(asked) == count and told["failed"] == 0
    assert sorted(line["question"] for line in asked) == list(range(count))  # each once
    assert told["max_concurrency"] == 16 and 1 <= told["max_concurrent_requests"] <= 16
    assert told["total_output_tokens"] == sum(line["output_tokens"] for line in asked) > 0
    assert told["median_e2el_ms"] <= told["p99_e2el_ms"] <= told["p99.9_e2el_ms"]
    assert "mean_ttft_ms" not in told  # nothing was streamed
    assert told["batchproxy"]["marked"] == count and 0 < told["batchproxy"]["right"] < count
    assert f"answered    {count}/{count}" in done.stdout and "µs of CPU a request" in done.stdout


def test_a_result_says_what_was_measured(start_engine, tmp_path):
    engine = start_engine()
    questions = write_prompts(tmp_path / "q.jsonl", 3)
    done = bench("run", "--url", engine.url, "--questions", questions, "--salt", "a salt", "--json",
                 tmp_path / "r.json")
    facts = result(tmp_path / "r.json")["batchproxy"]["facts"]
    assert facts["url"] == engine.url and "simulated" in facts["server"]
    assert facts["model"] and re.search(r"\d+ cores", facts["machine"])
    assert re.fullmatch(r"\d{8}-\d{6} UTC", facts["date"])
    assert re.search(r"commit \S+", facts["program"]) and "--salt 'a salt'" in facts["command"]
    assert f"3 of {questions}" in facts["questions"] and facts["questions"] in done.stdout


def test_streams_tell_their_tokens(start_engine, tmp_path):
    engine = start_engine()
    for more in ([], ["--chat"]):
        done = bench("run", "--url", engine.url, "--synthetic", 8, "--prompt-tokens", 40, "--output-tokens", 6,
                     "--stream", "--json", tmp_path / "r.json", *more)
        assert done.returncode == 0, done.stderr
        told = result(tmp_path / "r.json")
        assert told["total_output_tokens"] == 8 * 6
        assert 0 < told["median_ttft_ms"] < told["median_e2el_ms"] and told["mean_itl_ms"] > 0
        assert told["median_tpot_ms"] > 0
        assert told["endpoint_type"] == ("openai-chat" if more else "openai")


def test_an_open_loop_sends_when_requests_are_due(start_engine, tmp_path):
    questions = write_prompts(tmp_path / "q.jsonl", 7, max_tokens=1)
    done = bench("run", "--url", start_engine().url, "--questions", questions, "--rate", 50, "--arrivals", "constant",
                 "--requests", 30, "--json", tmp_path / "r.json", "--lines", tmp_path / "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert [line["due"] for line in lines(tmp_path / "r.jsonl")] == [pytest.approx(i / 50) for i in range(30)]
    assert all(line["sent"] >= line["due"] for line in lines(tmp_path / "r.jsonl"))
    told = result(tmp_path / "r.json")
    assert told["request_rate"] == 50 and told["max_concurrency"] is None and told["completed"] == 30


def test_a_duration_ends_a_run(start_engine, tmp_path):
    questions = write_prompts(tmp_path / "q.jsonl", 2, max_tokens=1)
    done = bench("run", "--url", start_engine().url, "--questions", questions, "--workers", 2, "--duration", 0.5,
                 "--warm-up", "20%", "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    told = result(tmp_path / "r.json")
    assert told["num_prompts"] > 2 and told["batchproxy"]["left_out"] > 0  # it went round, and began to count later
    assert 0.3 < told["duration"]


def test_a_proxy_tells_of_batches_and_prefix_hits(start_proxy, tmp_path):
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=2)).ready(2)
    done = bench("run", "--url", proxy.url, "--admin", proxy.admin, "--questions", QUESTIONS, "--json",
                 tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    own = result(tmp_path / "r.json")["batchproxy"]
    counts = own["repeats"][0]["counts"]
    count = len(lines(QUESTIONS))
    assert counts["batch_prompts"] == count and sum(fill[1] for fill in counts["fill"]) == counts["batches"]
    assert sum(counts["flushes"].values()) == counts["batches"]
    assert 0 < own["prefix_hits"] < 1 and set(own["share"]) == {"engine-0", "engine-1"}
    assert own["facts"]["engines"].startswith("2 simulated")


# --- whether answers are right --------------------------------------------------------------------

def test_each_answer_is_checked_to_be_of_its_request(served, tmp_path):
    questions = write_prompts(tmp_path / "q.jsonl", 40, max_tokens=1)
    done = bench("run", "--url", served.url, "--questions", questions, "--check-ids", "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    own = result(tmp_path / "r.json")["batchproxy"]
    assert own["ids_checked"] == 40 and own["ids_wrong"] == 0
    assert "40 answers, each to its own request" in done.stdout


def test_an_answer_to_another_request_is_seen(server, tmp_path):
    engine = server(lambda *_: answer(completion("[bench-0-0] what nobody asked")))
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 3), "--check-ids")
    assert done.returncode == 1
    assert "3 of 3 answers are to ANOTHER request" in done.stdout
    asked = body_of(engine.requests[0])
    assert asked["echo"] is True and re.search(r"Which\?\n\[bench-\w+-\d+\]\nAnswer:$", asked["prompt"])


def test_labels_give_the_accuracy(server, tmp_path):
    engine = server(lambda *_: answer(completion(" (A) because")))
    done = bench("run", "--url", engine.url, "--questions", write_choices(tmp_path / "q.jsonl", "AABA"))
    assert done.returncode == 0
    assert "accuracy    75.0 % as scored (3 of 4 right)" in done.stdout


# --- what a server does ---------------------------------------------------------------------------

def test_a_server_that_stalls_is_seen_in_an_open_loop(server, tmp_path):
    """For a second the server answers nobody. In the open loop all who were due meanwhile are late; in a closed loop
    it is one request."""
    def stalling():
        over = threading.Event()

        def script(number, request, carried):
            if number == 100:
                threading.Timer(1, over.set).start()
            if number >= 100:
                over.wait()
            return answer(completion())
        return script

    def p99(*how):
        questions = write_prompts(tmp_path / "q.jsonl", 400)
        done = bench("run", "--url", server(stalling()).url, "--questions", questions, "--json",
                     tmp_path / "r.json", *how)
        assert done.returncode == 0, done.stderr
        return result(tmp_path / "r.json")["p99_e2el_ms"]

    assert p99("--rate", 200, "--arrivals", "constant") > 700
    assert p99("--workers", 1) < 500


def test_errors_are_told_by_code_with_an_example(server, tmp_path):
    error = json.dumps({"error": {"message": "the queue\nis full", "code": "queue_full"}})
    engine = server(lambda number, *_: page(503, error) if number % 3 == 0 else answer(completion()))
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 9), "--json",
                 tmp_path / "r.json")
    assert done.returncode == 1
    assert "answered    6/9" in done.stdout
    assert r"failed      3 × 503 queue_full: the queue\nis full" in done.stdout
    assert result(tmp_path / "r.json")["batchproxy"]["failures"] == {
        "503 queue_full": {"count": 3, "example": "the queue\nis full"}}


def test_a_page_is_no_answer_and_a_cut_stream_none_either(server, tmp_path):
    engine = server(lambda *_: answer(b"<html>hello</html>", content_type=b"text/html"))
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 2))
    assert done.returncode == 1 and "2 × garbage: status 200, and no JSON object: <html>" in done.stdout
    event = b'data: {"choices":[{"text":"one"}]}\n\n'
    engine = server(lambda *_: STREAM_HEAD + chunk(event) + b"0\r\n\r\n")
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 2), "--stream")
    assert done.returncode == 1 and "2 × cut: the stream ended without data: [DONE]" in done.stdout


def test_a_server_that_dies_midway_leaves_what_there_is(server, tmp_path):
    def script(number, request, carried):
        if number == 30:
            engine.close()  # nobody can connect any more
        return answer(completion()) if number < 30 else None

    engine = server(script)
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 5000), "--workers", 1,
                 "--give-up", 0.5, "--json", tmp_path / "r.json", "--lines", tmp_path / "r.jsonl")
    assert done.returncode == 1
    told = result(tmp_path / "r.json")
    assert told["completed"] == 29 and 0 < told["failed"] < 50  # a dead server is not asked all the rest
    assert re.search(r"cut short   no answer for 0\.5 s: ", done.stdout), done.stdout
    assert f"nobody listens at {engine.url}" in done.stdout
    assert len(lines(tmp_path / "r.jsonl")) == told["num_prompts"]


# --- how it ends ----------------------------------------------------------------------------------

def test_ctrl_c_prints_what_there_is(server, tmp_path):
    never = threading.Event()

    def script(number, request, carried):
        if number > 20:
            never.wait()
        return answer(completion())

    engine = server(script)
    questions = write_prompts(tmp_path / "q.jsonl", 500)
    run = Program([BENCH, "run", "--url", engine.url, "--questions", questions, "--workers", "4", "--json",
                   tmp_path / "r.json"], tmp_path)
    wait_until(lambda: len(engine.requests) == 24, "all workers wait")
    assert run.stop(signal.SIGINT) == 130
    never.set()
    assert "answered    20/20" in run.output() and "cut short   stopped" in run.output()
    assert result(tmp_path / "r.json")["completed"] == 20


def test_thresholds_are_kept_or_missed(server, tmp_path):
    engine = server(lambda *_: answer(completion()))
    ask = ["run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 5)]
    done = bench(*ask, "--threshold", "e2el.p99<600s", "--threshold", "failed<1%")
    assert done.returncode == 0
    assert re.search(r"^✓ e2el\.p99<600s \(", done.stdout, re.MULTILINE) and "✓ failed<1% (0.00 %)" in done.stdout
    done = bench(*ask, "--threshold", "e2el.p99<600s", "--threshold", "questions_per_second>1000000000")
    assert done.returncode == 3
    assert "✓ e2el.p99" in done.stdout and "✗ questions_per_second>1000000000" in done.stdout


def test_goodput_counts_the_fast(server, tmp_path):
    engine = server(lambda *_: answer(completion()))
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 5), "--goodput",
                 "e2el:500000", "--json", tmp_path / "r.json")
    told = result(tmp_path / "r.json")
    assert told["request_goodput"] == told["request_throughput"] and "goodput" in done.stdout


def test_a_terminal_has_a_live_line(server, tmp_path):
    hold = threading.Event()

    def script(number, request, carried):
        if number > 3:
            hold.wait()
        return answer(completion())

    engine = server(script)
    terminal = Terminal([BENCH, "run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 5),
                         "--workers", 1])
    terminal.shows("3 of 5 answered")
    hold.set()
    terminal.shows("answered    5/5")
    assert terminal.end() == 0


def test_without_a_terminal_there_is_none(server, tmp_path):
    engine = server(lambda *_: answer(completion()))
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 5))
    assert done.stderr == "" and "\x1b" not in done.stdout


def test_json_on_stdout_is_json_and_nothing_else(server, tmp_path):
    engine = server(lambda *_: answer(completion()))
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 5), "--json", "-")
    assert json.loads(done.stdout)["completed"] == 5 and "answered    5/5" in done.stderr


# --- what cannot be used --------------------------------------------------------------------------

@pytest.mark.parametrize("make, code, said", [
    (lambda path: path, 2, r"q\.jsonl cannot be read: No such file or directory"),
    (lambda path: write_prompts(path, 16).write_text(path.read_text() + '{"prompt": \n') and path, 2,
     r"q\.jsonl:17: not JSON.*\nNothing was asked: mend or remove this line"),
    (lambda path: write_choices(path, "ABC"), 2, r'q\.jsonl:3: "label" is \'C\', which is none of the options A to B'),
], ids=["a file that is not there", "line 17", "a label"])
def test_questions_that_are_none_are_named(make, code, said, tmp_path):
    done = bench("run", "--url", "http://127.0.0.1:9", "--questions", make(tmp_path / "q.jsonl"))
    assert done.returncode == code and re.search(said, done.stderr), done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("flags, said", [
    (["--threshold", "e2el.p42<1s"], "no figure 'e2el.p42'"),
    (["--goodput", "speed:3"], "--goodput speed:3: write ttft:MS"),
    (["--goodput", "ttft:200"], "--goodput ttft:200: it is measured of streams only: add --stream"),
    (["--warm-up", "long"], "'long' is neither seconds"),
    (["--synthetic", "3", "--shared-tokens", "512"], "--shared-tokens 512 must be less than --prompt-tokens 512"),
])
def test_flags_that_say_nothing_are_named(flags, said):
    done = bench("run", "--url", "http://127.0.0.1:9", *flags)
    assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.parametrize("flag", ["--json", "--lines", "--html"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(flag, served, tmp_path):
    wrong = {tmp_path / "none" / "r.json": "No such file or directory", tmp_path: "Is a directory"}
    for file, why in wrong.items():
        done = bench("run", "--url", served.url, "--synthetic", 3, flag, file)
        assert (done.returncode, done.stdout) == (2, "") and f"{file} cannot be written: {why}" in done.stderr, done.stderr
    assert served.status()["requests"]["received"] == 0


def test_a_url_where_nobody_listens_is_named(server, tmp_path):
    engine = server(None)
    engine.close()
    done = bench("run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl"))
    assert done.returncode == 1
    assert done.stderr == f"error: nobody listens at {engine.url}: is the server running there?\n"
    done = bench("run", "--url", "127.0.0.1:9")
    assert done.returncode == 1 and "127.0.0.1:9: expected http://HOST:PORT" in done.stderr


def test_a_key_that_is_wanted_is_named(server, tmp_path):
    refusal = json.dumps({"error": {"message": "no such key"}})
    engine = server(lambda *_: answer(completion()), key="secret", refusal=refusal)
    ask = ["run", "--url", engine.url, "--questions", write_prompts(tmp_path / "q.jsonl", 2)]
    without = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    done = bench(*ask, env=without)
    assert done.returncode == 1
    assert "answers 401: it wants another API key. Put it into the variable OPENAI_API_KEY" in done.stderr
    assert "no such key" in done.stderr
    done = bench(*ask, env={**without, "OPENAI_API_KEY": "secret"})
    assert done.returncode == 0 and "secret" not in done.stdout


def test_an_admin_address_that_is_none_is_named(server, tmp_path):
    engine = server(lambda *_: page(404, "{}"))
    done = bench("run", "--url", engine.url, "--admin", engine.url, "--questions",
                 write_prompts(tmp_path / "q.jsonl", 2))
    assert done.returncode == 1 and "its /status is not that of batchproxy" in done.stderr
