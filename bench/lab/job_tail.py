"""The end of a job: how long its last answers take once nothing waits.

A run of so many questions before four simulated engines: all alike, one of them six times slower, and one that hangs for
20 s from the moment at which nothing waits any more. What asking a second time on an idle engine could gain at most is
the time from that moment to the end."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

from tests.support.proxy import running_proxy, running_sim

from .figures import header, row
from .options import positive

ENGINES = 4
SLOWER = 6
HUNG = 20  # seconds


def add_options(parser):
    parser.add_argument("questions", nargs="?", type=positive(int), default=5000, help="of the run (5000)")
    parser.add_argument("--tokens", type=positive(int), default=64, help="of each answer (64)")
    parser.add_argument("--max-num-seqs", type=positive(int), default=64, help="of each engine (64)")
    parser.add_argument("--time-scale", type=positive(float), default=1, help="of the engines (1)")
    parser.add_argument("--hung", type=positive(float), default=HUNG, help=f"seconds of the one that hangs ({HUNG})")


def write_questions(path, options):
    with path.open("w") as out:
        for i in range(options.questions):
            # ignore_eos and one length for all: what differs is the engine.
            print(json.dumps({"prompt": f"passage {i % 50} question {i}", "max_tokens": options.tokens,
                              "ignore_eos": True}), file=out)
    return path


@contextlib.contextmanager
def engines(folder, scales, options):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running_sim(folder, "--sim-time-scale", str(scale), "--max-num-seqs",
                                               str(options.max_num_seqs), program=options.build.proxy))
               for scale in scales]


def requests_of(proxy):
    requests = proxy.status()["requests"]
    return requests["queued"], requests["inflight"]


def measure(scales, options, then=lambda engine: ()):
    """Seconds of a run, and of its end: from the last moment at which a request waited for an engine. Then comes
    `then(engine)`, and the end of the timers that it returns is waited for."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with engines(folder, scales, options) as started:
            flags = [flag for engine in started for flag in ("--backend", engine.url)]
            with running_proxy(folder, *flags, program=options.build.proxy) as proxy:
                proxy.ready(len(started))
                questions = write_questions(folder / "questions.jsonl", options)
                begin = last = time.monotonic()
                run = subprocess.Popen([options.build.proxy, "run", questions, "-o", folder / "answers.jsonl",
                                        "--url", proxy.url], stderr=subprocess.DEVNULL)
                many = waits = False
                timers = []
                while run.poll() is None:
                    queued, inflight = requests_of(proxy)
                    many = many or queued > options.max_num_seqs
                    if queued or not many:
                        last = time.monotonic()
                    elif inflight and not waits:
                        waits = True
                        timers += then(started[0])
                    time.sleep(0.02)
                end = time.monotonic()
                for timer in timers:
                    timer.join()
                assert run.returncode == 0, f"the run ended with {run.returncode}"
        return end - begin, end - last


def hang(options):
    def stop(engine):
        os.kill(engine.pid, signal.SIGSTOP)
        goes_on = threading.Timer(options.hung, os.kill, [engine.pid, signal.SIGCONT])
        goes_on.start()
        return [goes_on]
    return stop


def run(options):
    options.build.need(options.build.proxy)
    scale = options.time_scale
    header("engines", "the run, s", "its end, s", "end / run")
    for name, scales, then in (
            ("four alike", [scale] * ENGINES, lambda engine: ()),
            (f"one {SLOWER} times slower", [SLOWER * scale] + [scale] * (ENGINES - 1), lambda engine: ()),
            (f"one hangs for {options.hung:g} s at the end", [scale] * ENGINES, hang(options))):
        whole, tail = measure(scales, options, then)
        row(name, f"{whole:.1f}", f"{tail:.1f}", f"{100 * tail / whole:.0f} %")
