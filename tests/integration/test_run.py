"""batchproxy run: a file of questions in, a file of answers out, whatever happens in between."""
import json
import os
import pty
import random
import re
import resource
import signal
import subprocess
import time

import pytest

from tests.support.builds import PROXY
from tests.support.program import Program
from tests.support.proxy import write_config
from tests.support.runs import assert_right, jobs, lines, run, start, write_questions
from tests.support.waiting import DEADLINE, alive, wait_until


@pytest.fixture
def engine(start_engine):
    return start_engine("--sim-answer", "sha256")


def test_a_proxy_of_its_own_answers_each_question_once(tmp_path, engine):
    write_questions(tmp_path / "q", 300)
    ended = run(tmp_path, "q", "-o", "a", "--backend", engine.url)
    assert ended.returncode == 0, ended.stderr
    assert "300 questions" in ended.stderr and "300 of 300 answered" in ended.stderr
    assert_right(tmp_path / "a", 300)
    assert not (tmp_path / "a.errors").exists()
    again = run(tmp_path, "q", "-o", "a", "--url", "http://127.0.0.1:1")
    assert again.returncode == 0 and "300 of them have an answer" in again.stderr


def test_answers_in_the_order_of_the_questions_with_their_provenance(tmp_path, start_proxy, engine):
    proxy = start_proxy("--backend", engine.url)
    write_questions(tmp_path / "q", 200)
    assert run(tmp_path, "q", "-o", "a", "--url", proxy.url, "--ordered", "--provenance").returncode == 0
    found = lines(tmp_path / "a")
    assert [line["custom_id"] for line in found] == [f"k{i}" for i in range(200)]
    provenance = found[0]["provenance"]
    assert provenance["backend"] == engine.url.removeprefix("http://")
    assert re.fullmatch(r"\d+/\d+", provenance["batch"]) and provenance["latency_ms"] >= 0


def test_a_limit_then_the_rest_from_standard_input(tmp_path, engine):
    text = write_questions(tmp_path / "q", 50).read_text()
    assert run(tmp_path, "-", "-o", "a", "--url", engine.url, "--limit", "20", stdin=text).returncode == 0
    assert len(lines(tmp_path / "a")) == 20
    assert run(tmp_path, "-", "-o", "a", "--url", engine.url, stdin=text).returncode == 0
    assert_right(tmp_path / "a", 50)


def test_a_dry_run_asks_nothing_and_leaves_nothing(tmp_path):
    write_questions(tmp_path / "q", 3)
    ended = run(tmp_path, "q", "-o", "a", "--dry-run")
    assert ended.returncode == 0
    assert "3 questions" in ended.stdout and '{"prompt":"passage 0 question 0","max_tokens":1}' in ended.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]


def test_csv_as_a_chat(tmp_path, engine):
    (tmp_path / "q.csv").write_text('id,text\na,"Hi, ""you"""\n')
    ended = run(tmp_path, "q.csv", "-o", "a", "--url", engine.url, "--column", "text", "--chat", "--max-tokens", "2")
    assert ended.returncode == 0, ended.stderr
    [line] = lines(tmp_path / "a")
    assert line["custom_id"] == "a" and line["response"]["body"]["object"] == "chat.completion"


def test_multiple_choice_as_decisions(tmp_path, engine):
    """Each option has its probability; what a letter would have been parsed from is not generated."""
    (tmp_path / "q").write_text("".join(json.dumps({
        "id": f"k{i}", "passage": f"passage {i % 3}", "question": f"question {i}?",
        "options": ["(A) yes", "(B) no", "(C) both"]}) + "\n" for i in range(30)))
    ended = run(tmp_path, "q", "-o", "a", "--backend", engine.url, "--choices", "--provenance")
    assert ended.returncode == 0, ended.stderr
    found = lines(tmp_path / "a")
    assert sorted(line["custom_id"] for line in found) == sorted(f"k{i}" for i in range(30))
    for line in found:
        [told] = line["response"]["body"]["answers"]
        assert [one["value"] for one in told["probabilities"]] == ["A", "B", "C"]
        best = max(told["probabilities"], key=lambda one: one["probability"])
        assert told["choice"] == best["value"] and 0 <= told["margin"] <= 1
        assert line["provenance"]["prompt_tokens"] > 0
    text = (tmp_path / "q").read_text() + json.dumps({"prompt": "p"}) + "\n"
    ended = run(tmp_path, "-", "-o", "b", "--backend", engine.url, "--choices", stdin='{"prompt": "p"}\n' + text)
    assert ended.returncode == 2 and "--choices is for multiple-choice questions" in ended.stderr


def test_what_fails_is_listed_and_asked_again_when_that_is_wanted(tmp_path, engine):
    write_questions(tmp_path / "q", 3)
    with open(tmp_path / "q", "a") as questions:
        questions.write(json.dumps({"id": "bad", "prompt": "p", "model": "nobody has it"}) + "\n")
    for flags in ([], [], ["--retry-errors"]):
        ended = run(tmp_path, "q", "-o", "a", "--url", engine.url, *flags)
        assert ended.returncode == 5, ended.stderr
        [error] = lines(tmp_path / "a.errors")
        assert error["custom_id"] == "bad" and error["response"]["status_code"] == 404
        assert error["error"]["code"] == "http_error"
        assert_right(tmp_path / "a", 3)
    assert "has failed: see a.errors" in ended.stderr


def test_after_kills_each_key_is_there_once(tmp_path, start_engine):
    engine = start_engine("--sim-answer", "sha256", "--sim-call-cost", "0.02")
    write_questions(tmp_path / "q", 2000)
    chance = random.Random(4)
    for _ in range(12):
        job = subprocess.Popen([PROXY, "run", "q", "-o", "a", "--url", engine.url], cwd=tmp_path,
                               stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.02, 0.4))  # any moment is a right one
        job.kill()
        job.wait()
    assert (tmp_path / "a.ledger").exists()
    ended = run(tmp_path, "q", "-o", "a", "--url", engine.url)
    assert ended.returncode == 0, ended.stderr
    assert_right(tmp_path / "a", 2000)


def test_ctrl_c_finishes_what_is_in_flight_and_it_goes_on(tmp_path, start_engine):
    engine = start_engine("--sim-answer", "sha256", "--sim-call-cost", "0.2")
    job = start(tmp_path, engine)
    assert job.stop(signal.SIGINT) == 130
    assert "run again to go on" in job.output() and "8 questions in flight" in job.output()
    had = len(lines(tmp_path / "a"))
    ended = run(tmp_path, "q", "-o", "a", "--url", engine.url, "--limit", "10")
    assert f"{had} of them have an answer" in ended.stderr.replace(",", "")
    assert len(lines(tmp_path / "a")) == had + 10


def test_a_second_ctrl_c_stops_at_once(tmp_path, start_engine):
    engine = start_engine("--sim-answer", "sha256", "--sim-call-cost", "0.2")
    job = start(tmp_path, engine)
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        job.process.send_signal(signal.SIGINT)
        wait_until(lambda: "again to stop at once" in job.output(), "the first is heard")
        assert job.stop(signal.SIGINT) == 130
    finally:
        os.kill(engine.pid, signal.SIGCONT)


def test_a_proxy_that_dies_is_started_again_and_none_is_left(tmp_path, start_engine):
    engine = start_engine("--sim-answer", "sha256", "--sim-call-cost", "0.1")
    write_questions(tmp_path / "q", 1000)
    job = Program([PROXY, "run", "q", "-o", "a", "--backend", engine.url, "--concurrency", "8"], tmp_path)
    answers = tmp_path / "a"
    wait_until(lambda: answers.exists() and answers.stat().st_size > 0, "first answers")
    [child] = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(child), signal.SIGKILL)
    wait_until(lambda: "it is started again" in job.output(), "a new proxy")
    had = len(answers.read_text().splitlines())
    wait_until(lambda: len(answers.read_text().splitlines()) > had + 20, "answers of the new one")
    [child] = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout.split()
    job.kill()
    wait_until(lambda: not alive(int(child)), "the proxy ends with the run")


def descendants(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def test_engines_of_its_own_end_with_it_however_it_ends(tmp_path):
    write_config(tmp_path / "c.yaml", servers=2)
    write_questions(tmp_path / "q", 20_000)
    ended = run(tmp_path, "q", "-o", "a", "--config", "c.yaml", "--limit", "50")
    assert ended.returncode == 0, ended.stderr
    assert len(lines(tmp_path / "a")) == 50 and "engine-" in ended.stderr  # of the one that was ready first, or of both
    job = Program([PROXY, "run", "q", "-o", "a", "--config", "c.yaml"], tmp_path)
    wait_until(lambda: len((tmp_path / "a").read_text().splitlines()) > 50, "answers")
    started = descendants(job.pid)
    assert len(started) >= 5  # the proxy, and a shim and an engine twice
    job.kill()
    wait_until(lambda: not any(map(alive, started)), "all have ended")


def test_two_runs_do_not_share_a_ledger(tmp_path, start_engine):
    engine = start_engine("--sim-answer", "sha256", "--sim-call-cost", "0.2")
    job = start(tmp_path, engine)
    second = run(tmp_path, "q", "-o", "a", "--url", engine.url)
    assert second.returncode == 1
    assert f"is in use by process {job.pid}: only one process may use it" in second.stderr
    assert job.stop() == 130


@pytest.mark.parametrize("damage, sentence", [
    ("{broken", "q:17: not JSON"),
    ('{"id":"k3","prompt":"twice"}', "q:17: the id 'k3' is that of line 4, too"),
    ('{"id":"long","prompt":"%s"}' % ("x" * (64 << 20)), "q:17: the line has more than 32 MiB"),
], ids=["malformed", "duplicate", "64 MiB"])
def test_a_bad_line_is_named_before_anything_is_asked(tmp_path, damage, sentence):
    text = write_questions(tmp_path / "q", 30).read_text().splitlines(keepends=True)
    (tmp_path / "q").write_text("".join([*text[:16], damage + "\n", *text[17:]]))
    ended = run(tmp_path, "q", "-o", "a", "--url", "http://127.0.0.1:1")
    assert ended.returncode == 2
    assert sentence in ended.stderr and "Nothing was asked" in ended.stderr
    assert not (tmp_path / "a").exists()


def test_answers_of_others_are_not_replaced(tmp_path):
    write_questions(tmp_path / "q", 3)
    (tmp_path / "a").write_text("precious\n")
    ended = run(tmp_path, "q", "-o", "a", "--url", "http://127.0.0.1:1")
    assert ended.returncode == 2 and "a exists, and no ledger" in ended.stderr
    assert (tmp_path / "a").read_text() == "precious\n"
    ended = run(tmp_path, "q", "-o", "q", "--url", "http://127.0.0.1:1")
    assert ended.returncode == 2 and "are one file" in ended.stderr


def test_a_full_disk_loses_nothing(tmp_path, engine, tiny_disk):
    write_questions(tmp_path / "q", 2000)
    ended = run(tmp_path, "q", "-o", "tiny/a", "--url", engine.url)
    assert ended.returncode == 1, ended.stderr
    assert "free space and run again" in ended.stderr
    subprocess.run(["mount", "-o", "remount,size=20m", tiny_disk], check=True)
    ended = run(tmp_path, "q", "-o", "tiny/a", "--url", engine.url)
    assert ended.returncode == 0 and ", 0 of them have an answer" not in ended.stderr
    assert_right(tiny_disk / "a", 2000)


def test_a_limit_of_a_file_s_size_loses_nothing(tmp_path, engine):
    write_questions(tmp_path / "q", 2000)

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    ended = run(tmp_path, "q", "-o", "a", "--url", engine.url, preexec_fn=small_files)
    assert ended.returncode == 1, ended.stderr
    assert "Nothing recorded is lost" in ended.stderr or "File too large" in ended.stderr
    assert run(tmp_path, "q", "-o", "a", "--url", engine.url).returncode == 0
    assert_right(tmp_path / "a", 2000)


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path):
    write_questions(tmp_path / "q", 3)
    folder = tmp_path / "locked"
    folder.mkdir()
    for path in [tmp_path, *tmp_path.parents]:
        if path.stat().st_uid == os.geteuid() and path != path.parent:
            path.chmod(path.stat().st_mode | 0o555)
    folder.chmod(0o555)
    as_nobody = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    ended = subprocess.run([*as_nobody, PROXY, "run", "q", "-o", "locked/a", "--url", "http://127.0.0.1:1"],
                           cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "locked/a.ledger cannot be written" in ended.stderr


def test_a_truncated_log_of_the_ledger_costs_answers_and_no_question(tmp_path, start_engine):
    engine = start_engine("--sim-answer", "sha256", "--sim-call-cost", "0.02")
    job = start(tmp_path, engine, 1000)
    job.kill()
    log = tmp_path / "a.ledger-wal"
    size = log.stat().st_size
    os.truncate(log, size - min(size // 3, 5000))
    assert run(tmp_path, "q", "-o", "a", "--url", engine.url).returncode == 0
    assert_right(tmp_path / "a", 1000)


def test_another_model_is_not_mixed_in(tmp_path, start_engine):
    one, other = start_engine(), start_engine("--served-model-name", "other")
    write_questions(tmp_path / "q", 5)
    assert run(tmp_path, "q", "-o", "a", "--url", one.url, "--limit", "2").returncode == 0
    ended = run(tmp_path, "q", "-o", "a", "--url", other.url)
    assert ended.returncode == 2 and "the answers so far are of" in ended.stderr


def test_of_several_models_the_one_of_the_run_before_is_asked(tmp_path, start_proxy, start_engine):
    one, other = start_engine("--served-model-name", "m"), start_engine("--served-model-name", "a")
    write_questions(tmp_path / "q", 5)
    assert run(tmp_path, "q", "-o", "a", "--url", one.url, "--limit", "2").returncode == 0
    both = start_proxy("--backend", other.url, "--backend", one.url).ready(2)
    assert run(tmp_path, "q", "-o", "a", "--url", both.url).returncode == 0
    assert {line["response"]["body"]["model"] for line in lines(tmp_path / "a")} == {"m"}


def test_a_proxy_of_its_own_that_cannot_start_says_why(tmp_path):
    write_questions(tmp_path / "q", 2)
    refused = run(tmp_path, "q", "-o", "a", "--backend", "nowhere://x")
    assert refused.returncode == 2 and "nowhere" in refused.stderr
    ended = run(tmp_path, "q", "-o", "a", "--backend", "http://127.0.0.1:1", "--api-keys-file", str(tmp_path / "none"))
    assert ended.returncode == 1 and "the proxy has ended with exit code 2" in ended.stderr
    assert "none" in ended.stderr


def test_flags_of_its_own_proxy_do_not_move_it(tmp_path, engine):
    write_questions(tmp_path / "q", 5)
    ended = run(tmp_path, "q", "-o", "a", "--backend", engine.url, "--listen", "127.0.0.1:1", "--io-threads", "1")
    assert ended.returncode == 0, ended.stderr


def test_a_file_that_is_cut_while_it_is_asked_is_not_taken_for_done(tmp_path, start_engine):
    engine = start_engine("--sim-call-cost", "0.01")
    job = start(tmp_path, engine, 40_000)
    os.truncate(tmp_path / "q", 0)
    assert job.wait() == 1
    assert "the file has changed. Run again" in job.output()


def test_a_terminal_gets_a_bar(tmp_path, start_engine):
    engine = start_engine("--sim-call-cost", "1")
    write_questions(tmp_path / "q", 100)
    master, slave = pty.openpty()
    job = subprocess.Popen([PROXY, "run", "q", "-o", "a", "--url", engine.url, "--concurrency", "2"],
                           cwd=tmp_path, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while b"answered" not in shown:
            shown += os.read(master, 4096)
    finally:
        job.kill()
        job.wait()
        os.close(master)
    assert b"\r\x1b[K[" in shown and b" of 100 answered" in shown


@pytest.fixture
def done(tmp_path, engine):
    """The folder of a job of 200 questions, of which one has failed."""
    write_questions(tmp_path / "q", 199)
    with open(tmp_path / "q", "a") as questions:
        questions.write(json.dumps({"id": "bad", "prompt": "p", "model": "nobody has it"}) + "\n")
    assert run(tmp_path, "q", "-o", "a", "--url", engine.url).returncode == 5
    return tmp_path


def test_jobs_are_listed_shown_exported_pruned_and_deleted(done):
    assert jobs(done, "list").stdout == "a: 199 of 200 answered, 1 failed\n"
    shown = jobs(done, "show", "a").stdout
    assert str(done / "q") in shown and "status 404: 1" in shown
    assert jobs(done, "export", "a", "-o", "b").stderr == "199 lines\n"
    assert [line["custom_id"] for line in lines(done / "b")] == [f"k{i}" for i in range(199)]
    assert jobs(done, "export", "a", "-o", "c", "--failed", "--provenance").returncode == 0
    [failed] = lines(done / "c")
    assert failed["custom_id"] == "bad" and failed["provenance"]["attempts"] == 1
    write_questions(done / "q", 150)
    assert run(done, "q", "-o", "a", "--url", "http://127.0.0.1:1").returncode == 0
    assert jobs(done, "prune", "a").stdout == "50 forgotten\n"
    assert jobs(done, "delete", "a").returncode == 0
    assert sorted(path.name for path in done.iterdir() if path.name.startswith("a")) == ["a"]
    assert jobs(done, "list").stdout == "no jobs in .\n"


def test_an_unknown_job_is_named(tmp_path):
    for verb in ("show", "delete", "prune", "verify"):
        extra = ["--url", "http://127.0.0.1:1"] if verb == "verify" else []
        ended = jobs(tmp_path, verb, "nothing", *extra)
        assert ended.returncode == 1 and "there is no nothing.ledger" in ended.stderr, verb
    ended = jobs(tmp_path, "list", "nothere")
    assert ended.returncode == 1 and ended.stderr == "error: cannot list jobs in nothere: No such file or directory\n"
    assert not list(tmp_path.iterdir())


def test_verify_counts_the_answers_that_are_another_now(done, engine, start_engine):
    same = jobs(done, "verify", "a", "--sample", "50%", "--url", engine.url)
    assert same.returncode == 0, same.stderr
    asked = int(re.match(r"(\d+) asked again", same.stdout)[1])
    assert 60 < asked < 140 and f"{asked} say the same, 0 say something else (0.00 %)" in same.stdout
    letters = start_engine()
    other = jobs(done, "verify", "a", "--sample", "1.0", "--url", letters.url)
    assert "199 asked again" in other.stdout and "0 say the same, 199 say something else (100.00 %)" in other.stdout
    assert other.stdout.count(" is now ") == 10
    assert jobs(done, "verify", "a", "--sample", "7", "--url", letters.url).returncode == 2
    flags = jobs(done, "verify", "a", "--sample", "1.0", "--url", letters.url, "--max-tokens", "3")
    assert "199 asked again" in flags.stdout, "lines that say themselves are the same"
    moved = jobs(done, "verify", "a", "--sample", "1.0", "--url", letters.url, "--default-model", "m")
    assert "200 lines are not" in moved.stdout or "199 lines are not" in moved.stdout
    assert_right(done / "a", 199)


def test_answers_are_not_lost_to_another_flag(done, engine):
    before = (done / "a").read_text()
    slip = run(done, "q", "-o", "a", "--url", engine.url, "--temperature", "0.5")
    assert slip.returncode == 2 and "their answers would be lost" in slip.stderr and "--drop-changed" in slip.stderr
    assert (done / "a").read_text() == before
    assert run(done, "q", "-o", "a", "--url", engine.url).returncode == 5  # of the one that has failed
    again = run(done, "q", "-o", "a", "--url", engine.url, "--temperature", "0.5", "--drop-changed")
    assert "200 questions, 0 of them have an answer" in again.stderr


def test_an_export_replaces_no_file(done):
    for name in ("q", "a", "a.ledger"):
        before = (done / name).read_bytes()
        refused = jobs(done, "export", "a", "-o", name)
        assert refused.returncode != 0 and f"{name} exists" in refused.stderr
        assert (done / name).read_bytes() == before


def test_a_url_that_is_none_leaves_nothing_behind(tmp_path):
    write_questions(tmp_path / "q", 2)
    ended = run(tmp_path, "q", "-o", "a", "--url", "127.0.0.1:8000")
    assert ended.returncode == 2 and "127.0.0.1:8000 is not http://" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["q"]
