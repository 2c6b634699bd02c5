"""A file of questions while everything dies: each is answered once, and rightly.

    python3 -m tests.chaos.jobs [--questions 100000] [--proxy-kills 10] [--engine-every 10] [--run-kills 2] [--seed N]

Simulated engines answer a prompt with the beginning of its SHA-256. `batchproxy run` asks a proxy that this program
kills with SIGKILL at random moments, an engine now and then, and sometimes the run itself; each is started again at once,
at the same address. At the end each key has one line, with the answer of its own prompt, no more was asked again than
was in flight, and the run's memory has not grown."""
import hashlib
import json
import pathlib
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

from tests.support.asking import MODEL
from tests.support.builds import is_sanitized
from tests.support.waiting import wait_until

from . import harness


class Restarted:
    """A server that keeps its port while it is dead: nobody else gets it."""

    def __init__(self, command, log):
        self.reserve = socket.socket()
        self.reserve.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reserve.bind(("127.0.0.1", 0))
        self.port = self.reserve.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.command, self.log, self.kills = command, log, 0
        self.process = None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in self.command(self.port)], stdout=log, stderr=log,
                                            cwd=self.log.parent, stdin=subprocess.DEVNULL)

    def listening(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def close(self):
        self.kill()
        self.reserve.close()


def prompt_of(number):
    return f"passage {number // 5} " + "with some words of it " * 8 + f"and question {number}"


def write_questions(path, count):
    with open(path, "w") as file:
        for number in range(count):
            file.write(json.dumps({"id": f"k{number}", "prompt": prompt_of(number), "max_tokens": 1}) + "\n")


def resident(pid):
    """MB of memory; 0 once the process has gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)


class Job:
    """The run, started again when it is killed."""

    def __init__(self, binary, folder, url, concurrency):
        self.command = [str(binary), "run", "questions", "-o", "answers", "--url", url, "--concurrency",
                        str(concurrency)]
        self.folder, self.kills, self.growth, self.base = folder, 0, 0.0, 0.0
        self.answers = folder / "answers"
        self.start()

    def start(self):
        self.base = 0.0
        with open(self.folder / "run.log", "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.start()

    def answered(self):
        """Guessed from the size of the file, which is read to its end only once."""
        return self.answers.stat().st_size / self.line if self.answers.exists() and self.line else 0

    @property
    def line(self):
        if not hasattr(self, "_line"):
            if not self.answers.exists() or self.answers.stat().st_size < 4096:
                return 0
            with open(self.answers, "rb") as file:
                self._line = len(file.readline())
        return self._line

    def look_at_memory(self):
        now = resident(self.process.pid)
        if self.answered() > 2000:
            self.base = self.base or now
            self.growth = max(self.growth, now - self.base)


def check_answers(path, count):
    """What is wrong with the file of answers, as a sentence; nothing if it is right."""
    seen = bytearray(count)
    with open(path) as file:
        for text in file:
            line = json.loads(text)
            number = int(line["custom_id"][1:])
            if seen[number]:
                return f"{line['custom_id']} is there twice"
            seen[number] = 1
            answer = line["response"]["body"]["choices"][0]["text"]
            if not answer or not hashlib.sha256(prompt_of(number).encode()).hexdigest().startswith(answer):
                return f"{line['custom_id']} has a wrong answer: {answer}"
    return None if sum(seen) == count else f"{count - sum(seen)} questions have no answer"


def asked_again(folder):
    """By the run itself, as its ledger says."""
    ledger = sqlite3.connect(folder / "answers.ledger")
    try:
        return ledger.execute("SELECT sum(attempts - 1) FROM items").fetchone()[0]
    finally:
        ledger.close()


def disturb(options, job, proxy, engines, rng):
    """Kills until the run has ended."""
    proxy_kills = sorted(rng.uniform(0.02, 0.95) * options.questions for _ in range(options.proxy_kills))
    run_kills = sorted(rng.uniform(0.1, 0.9) * options.questions for _ in range(options.run_kills))
    next_engine = time.monotonic() + options.engine_every
    while job.process.poll() is None:
        if proxy_kills and job.answered() > proxy_kills[0]:
            proxy_kills.pop(0)
            proxy.kill()
            proxy.start()
        if run_kills and job.answered() > run_kills[0]:
            run_kills.pop(0)
            job.kill()
        if options.engine_every and time.monotonic() > next_engine:
            engine = rng.choice(engines)
            engine.kill()
            engine.start()
            next_engine = time.monotonic() + options.engine_every
        job.look_at_memory()
        time.sleep(0.02)


def rounds(options, folder, rng):
    """(seconds undisturbed, seconds disturbed, exit code, job, proxy, engines)"""
    flags = ["--sim-load-time", "0", "--sim-time-scale", options.time_scale, "--sim-answer", "sha256"]
    engines = [Restarted(lambda port: [options.binary, "sim-engine", MODEL, "--port", port, *flags],
                         folder / f"engine-{number}.log") for number in range(options.engines)]
    backends = [word for engine in engines for word in ("--backend", engine.url)]
    proxy = Restarted(lambda port: [options.binary, "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", *backends],
                      folder / "proxy.log")
    try:
        for server in [*engines, proxy]:
            wait_until(server.listening, f"a server listens; see {server.log}")
        write_questions(folder / "questions", options.questions)
        seconds = []
        if options.compare:
            begun = time.monotonic()
            alone = Job(options.binary, folder, proxy.url, options.concurrency)
            alone.process.wait()
            seconds.append(time.monotonic() - begun)
            for name in ("answers", "answers.ledger"):
                (folder / name).unlink()
        begun = time.monotonic()
        job = Job(options.binary, folder, proxy.url, options.concurrency)
        disturb(options, job, proxy, engines, rng)
        seconds.append(time.monotonic() - begun)
        return seconds, job, proxy, engines
    finally:
        for server in [*engines, proxy]:
            server.close()


def main():
    parser = harness.parser_of(__doc__)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--proxy-kills", type=int, default=10)
    parser.add_argument("--run-kills", type=int, default=2)
    parser.add_argument("--engine-every", type=float, default=10, help="seconds; 0: never")
    parser.add_argument("--engines", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=1024)
    parser.add_argument("--time-scale", default="0.05")
    parser.add_argument("--compare", action="store_true", help="also run undisturbed, for the time that it takes")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    rng = random.Random(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="chaos-jobs-") as name:
        folder = pathlib.Path(name)
        seconds, job, proxy, engines = rounds(options, folder, rng)
        failures = []
        if job.process.returncode != 0:
            failures.append(f"the run ended with {job.process.returncode}: {(folder / 'run.log').read_text()[-600:]}")
        wrong = check_answers(folder / "answers", options.questions)
        if wrong:
            failures.append(wrong)
        again = asked_again(folder)
        engine_kills = sum(engine.kills - 1 for engine in engines)
        bound = options.concurrency * (proxy.kills - 1 + engine_kills)
        if again > bound:
            failures.append(f"{again} questions were asked again, {bound} were in flight at the kills")
        if job.growth > 50 and not is_sanitized(options.binary):  # a sanitizer keeps freed memory for itself
            failures.append(f"the run's memory has grown by {job.growth:.0f} MB")
        print(f"{options.questions} questions in {seconds[-1]:.1f} s"
              + (f" ({seconds[-1] / seconds[0]:.2f} × the undisturbed {seconds[0]:.1f} s)" if len(seconds) > 1 else ""))
        print(f"killed: the proxy {proxy.kills - 1} times, engines {engine_kills}, the run {job.kills}")
        print(f"asked again by the run: {again} (at most {bound}); its memory grew by {job.growth:.1f} MB")
        if proxy.kills - 1 < options.proxy_kills:
            failures.append(f"the proxy was killed {proxy.kills - 1} times only")
    print(f"FAILED: {'; '.join(failures)}" if failures else "PASSED")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
