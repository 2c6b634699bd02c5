"""batchproxy run where it cannot go on: an address that is none, a refusal of everything, a place that cannot be
written; and jobs beside a run that lives."""
import fcntl
import json
import os
import pty
import re
import signal
import socket
import socketserver
import struct
import subprocess
import termios
import threading

import pytest

from tests.support.builds import PROXY
from tests.support.program import Program
from tests.support.runs import assert_right, jobs, lines, run, start, write_questions
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer


@pytest.fixture
def engine(start_engine):
    return start_engine("--sim-answer", "sha256")


@pytest.fixture
def refusing():
    """refusing(status, message): an engine that refuses everything; `refusing.engine.count` requests so far."""
    engines = []

    def start_one(status, message):
        body = json.dumps({"error": {"message": message}}).encode()
        engines.append(ScriptedEngine(lambda number, request, connection: answer(body, status)))
        return engines[-1].url
    yield start_one
    for one in engines:
        one.close()


@pytest.mark.parametrize("model", [{}, {"model": "m"}], ids=["model unknown", "model named"])
def test_an_address_that_refuses_is_said_and_waited_for(tmp_path, start_engine, model):
    with socket.socket() as held:  # bound, and nobody listens
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        (tmp_path / "q").write_text(json.dumps({"prompt": "p", "max_tokens": 1, **model}) + "\n")
        job = Program([PROXY, "run", "q", "-o", "a", "--url", f"http://127.0.0.1:{port}"], tmp_path)
        wait_until(lambda: "does not answer (cannot connect: Connection refused): waiting for it, 10 min at most"
                   in job.output(), "a word", 20)
        assert job.is_running()
    assert job.stop() == 130 and "stopped, 1 question waits: run again to go on" in job.output()


def test_a_name_that_nobody_has_is_said(tmp_path):
    write_questions(tmp_path / "q", 2)
    job = Program([PROXY, "run", "q", "-o", "a", "--url", "http://no-such-host.invalid:8000"], tmp_path)
    wait_until(lambda: "cannot find no-such-host.invalid" in job.output(), "a word", 60)
    assert job.stop() == 130


@pytest.mark.parametrize("status, message, sentence", [
    (b"404 Not Found", "The model `m` does not exist.", "status 404: The model `m` does not exist. Serve what they ask"),
    (b"403 Forbidden", "Not yours.", "status 403: Not yours. Set OPENAI_API_KEY"),
    (b"401 Unauthorized", "No key.", "wants an API key: set OPENAI_API_KEY"),
], ids=["model", "forbidden", "no key"])
def test_what_all_are_refused_for_ends_it_and_counts_as_no_failure(tmp_path, engine, refusing, status, message, sentence):
    (tmp_path / "q").write_text("".join(json.dumps({"id": f"k{i}", "model": "m", "prompt": "p"}) + "\n"
                                        for i in range(3000)))
    ended = run(tmp_path, "q", "-o", "a", "--url", refusing(status, message))
    assert ended.returncode == 1, ended.stderr
    assert sentence in ended.stderr and "run again" in ended.stderr
    assert not (tmp_path / "a.errors").exists()
    assert jobs(tmp_path, "list").stdout == "a: 0 of 3,000 answered, 3,000 wait\n"


class Stranger(socketserver.ThreadingTCPServer):
    """Listens at `url`, and speaks something else than HTTP."""
    daemon_threads = True

    class Banner(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Banner)
        self.url = "http://%s:%d" % self.server_address
        threading.Thread(target=self.serve_forever, daemon=True).start()


def questions_without(model, path):
    path.write_text("".join(json.dumps({"id": f"k{i}", "prompt": "p", **model}) + "\n" for i in range(30)))


@pytest.mark.parametrize("model, exit_code, word", [
    ({}, 130, "does not answer (the connection failed: bad version): waiting for it"),
    ({"model": "m"}, 1, "had no answer in 5 tries each (the connection failed: bad version)"),
], ids=["model unknown", "model named"])
def test_an_address_that_speaks_no_http_is_said(tmp_path, model, exit_code, word):
    questions_without(model, tmp_path / "q")
    with Stranger() as stranger:
        job = Program([PROXY, "run", "q", "-o", "a", "--url", stranger.url], tmp_path)
        wait_until(lambda: word in job.output(), "a word")
        if exit_code == 1:  # by itself
            wait_until(lambda: not job.is_running(), "its end")
        assert job.stop() == exit_code
        stranger.shutdown()
    assert not (tmp_path / "a.errors").exists()
    assert jobs(tmp_path, "list").stdout == "a: 0 of 30 answered, 30 wait\n"


@pytest.mark.parametrize("model, word", [
    ({}, "/v1/models is answered with status 404: give --url the address that your workers ask (not the admin address)"),
    ({"model": "m"}, "questions were all refused with status 404: The admin address has no such path."),
], ids=["model unknown", "model named"])
def test_the_admin_address_is_not_the_one(tmp_path, start_proxy, start_engine, model, word):
    questions_without(model, tmp_path / "q")
    ended = run(tmp_path, "q", "-o", "a", "--url", start_proxy("--backend", start_engine().url).ready(1).admin)
    assert ended.returncode == 1 and word in ended.stderr, ended.stderr
    assert jobs(tmp_path, "list").stdout == "a: 0 of 30 answered, 30 wait\n"


def test_a_start_that_fails_forgets_no_failure(tmp_path, engine):
    write_questions(tmp_path / "q", 3)
    with open(tmp_path / "q", "a") as questions:
        questions.write(json.dumps({"id": "bad", "prompt": "p", "model": "nobody has it"}) + "\n")
    assert run(tmp_path, "q", "-o", "a", "--url", engine.url).returncode == 5
    before = (tmp_path / "a.errors").read_text()
    ended = run(tmp_path, "q", "-o", "a", "--retry-errors", "--backend", "http://127.0.0.1:1", "--api-keys-file", "none")
    assert ended.returncode == 1, ended.stderr
    assert (tmp_path / "a.errors").read_text() == before
    assert jobs(tmp_path, "list").stdout == "a: 3 of 4 answered, 1 failed\n"
    retried = run(tmp_path, "q", "-o", "a", "--retry-errors", "--url", engine.url)
    assert retried.returncode == 5 and len(lines(tmp_path / "a.errors")) == 1
    assert "tries       5" in jobs(tmp_path, "show", "a").stdout


def test_what_failed_and_has_an_answer_now_leaves_the_list(tmp_path, engine, refusing):
    write_questions(tmp_path / "q", 5)
    assert run(tmp_path, "q", "-o", "a", "--url", refusing(b"400 Bad Request", "no"), "--default-model",
               "m").returncode == 5
    assert len(lines(tmp_path / "a.errors")) == 5
    mended = run(tmp_path, "q", "-o", "a", "--url", refusing(b"400 Bad Request", "no"), "--default-model", "m")
    assert mended.returncode == 5 and "5 have failed" in mended.stderr
    script = ScriptedEngine(lambda number, request, connection: answer(b'{"choices":[{"text":"x"}]}'))
    try:
        mended = run(tmp_path, "q", "-o", "a", "--url", script.url, "--default-model", "m", "--retry-errors")
    finally:
        script.close()
    assert mended.returncode == 0, mended.stderr
    assert len(lines(tmp_path / "a")) == 5 and not (tmp_path / "a.errors").exists()


def test_answers_to_standard_output(tmp_path, engine):
    text = write_questions(tmp_path / "q", 50).read_text()
    refused = run(tmp_path, "q", "-o", "-", "--url", engine.url)
    assert refused.returncode == 2 and "-o - needs --ledger NAME.ledger" in refused.stderr
    refused = run(tmp_path, "q", "-o", "a", "--ledger", "b.ledger", "--url", engine.url)
    assert refused.returncode == 2 and "--ledger is for -o -" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["q"]
    some = run(tmp_path, "-", "-o", "-", "--ledger", "n.ledger", "--url", engine.url, "--limit", "20", stdin=text)
    assert some.returncode == 0 and len(some.stdout.splitlines()) == 20
    rest = run(tmp_path, "-", "-o", "-", "--ledger", "n.ledger", "--url", engine.url, stdin=text)
    (tmp_path / "all").write_text(rest.stdout)
    assert_right(tmp_path / "all", 50)
    assert jobs(tmp_path, "list").stdout == "n: 50 of 50 answered\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "n.ledger", "q"]


def test_a_reader_that_leaves_has_a_sentence(tmp_path, engine):
    write_questions(tmp_path / "q", 2000)
    job = subprocess.Popen([PROXY, "run", "q", "-o", "-", "--ledger", "n.ledger", "--url", engine.url], cwd=tmp_path,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    job.stdout.readline()
    job.stdout.close()
    said = job.stderr.read()
    assert job.wait(DEADLINE) == 1
    assert "standard output cannot be written: Broken pipe. Every answer is in the ledger: run again" in said


def test_a_dry_run_fails_where_the_run_would(tmp_path):
    write_questions(tmp_path / "q", 3)
    (tmp_path / "folder").mkdir()
    missing = run(tmp_path, "q", "-o", "nowhere/a", "--dry-run")
    assert missing.returncode == 1 and "nowhere/a.ledger cannot be written: No such file" in missing.stderr
    folder = run(tmp_path, "q", "-o", "folder", "--dry-run")
    assert folder.returncode == 2 and "folder is a folder" in folder.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "q"]


@pytest.mark.parametrize("columns", [10, 40, 80])
def test_the_bar_is_never_wrapped(tmp_path, start_engine, columns):
    engine = start_engine("--sim-call-cost", "0.5")
    write_questions(tmp_path / "q", 5000)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    job = subprocess.Popen([PROXY, "run", "q", "-o", "a", "--url", engine.url, "--concurrency", "2"],
                           cwd=tmp_path, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while len(re.findall(rb"\r\x1b\[K([^\r\n]+)", shown)) < 8:
            shown += os.read(master, 4096)
    finally:
        job.kill()
        job.wait()
        os.close(master)
    for drawn in re.findall(rb"\r\x1b\[K([^\r\n]+)(?=\r)", shown):
        assert len(drawn.decode()) < columns, drawn


def test_jobs_beside_a_run(tmp_path, start_engine):
    engine = start_engine("--sim-answer", "sha256", "--sim-call-cost", "0.2")
    job = start(tmp_path, engine)
    listed = jobs(tmp_path, "list").stdout
    figures = re.fullmatch(rf"a: running \(process {job.pid}\), (\d+) of 3,000 answered, ([\d,]+) wait\n", listed)
    assert figures and int(figures[1]) > 0, listed
    wait_until(lambda: f"running (process {job.pid})" in jobs(tmp_path, "show", "a").stdout, "its figures")
    assert "tries       " in jobs(tmp_path, "show", "a").stdout
    assert jobs(tmp_path, "export", "a", "-o", "b").returncode == 0 and len(lines(tmp_path / "b")) >= int(figures[1])
    for verb in ("delete", "prune"):
        refused = jobs(tmp_path, verb, "a")
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1 and f"is in use by process {job.pid}" in refused.stderr
    again = jobs(tmp_path, "verify", "a", "--sample", "100%", "--url", engine.url, "--attempts", "1")
    assert again.returncode == 0 and " say the same, 0 say something else" in again.stdout, again.stderr
    assert job.is_running() and job.stop(signal.SIGINT) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.ledger", "b", "q"]


def test_verify_says_by_its_exit_code_how_it_went(tmp_path, engine, start_engine):
    write_questions(tmp_path / "q", 30)
    assert run(tmp_path, "q", "-o", "a", "--url", engine.url).returncode == 0
    assert jobs(tmp_path, "verify", "a", "--sample", "100%", "--url", engine.url).returncode == 0
    other = jobs(tmp_path, "verify", "a", "--sample", "100%", "--url", start_engine().url)
    assert other.returncode == 5 and "30 say something else (100.00 %)" in other.stdout
    none = jobs(tmp_path, "verify", "a", "--sample", "0.0001%", "--url", engine.url)
    assert none.returncode == 1 and "take a larger --sample" in none.stdout
    refused = jobs(tmp_path, "verify", "a", "--sample", "100%", "--default-model", "m", "--url", engine.url)
    assert refused.returncode == 1 and "30 lines are not the questions of this job" in refused.stdout
