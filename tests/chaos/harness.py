"""What the chaos, drain and soak runs share: backends that die and return, a load of requests, and the proxy's
own figures."""
import argparse
import asyncio
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

from tests.support.asking import labelled
from tests.support.builds import PROXY
from tests.support.failing_engine import text_of
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

from .client import HARMLESS, Lost, connect, finish_of, judge, make_request

CLIENT_PATIENCE = 95.0  # seconds; what takes longer counts as never answered
MAX_DEATHS = 4  # of engines, through one prompt; 3 unless an end looked like a lost connection


async def revive(backends, rng):
    """Restarts those that ended by themselves (`@crash`), as a supervisor would."""
    while True:
        await asyncio.sleep(0.05)
        for backend in backends:
            if backend.wanted and not backend.running():
                await asyncio.sleep(rng.uniform(0.2, 1.0))
                if backend.wanted and not backend.running():
                    backend.start()


# --- the proxy -----------------------------------------------------------------------------------

left_out = set()  # keys that were


def write_config(path, binary, backends, keys, worker=None):
    """A configuration for `backends`. Keys that this binary does not know yet are left out, and named."""
    keys = {**keys, "backends": [{"url": b.url, "max_num_seqs": b.slots} for b in backends]}
    while True:
        # Replaced in one step: the proxy may read it at any moment.
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({**(worker or {}), "batchproxy": keys}))
        check = subprocess.run([str(binary), "check", str(fresh)], capture_output=True, text=True)
        unknown = re.search(r"unknown key '(\w+)' in batchproxy", check.stdout + check.stderr)
        if unknown is None:
            break
        if unknown[1] not in left_out:
            print(f"NOTE: this batchproxy has no key batchproxy.{unknown[1]}; it is left out", flush=True)
            left_out.add(unknown[1])
        del keys[unknown[1]]
    if check.returncode != 0:
        raise SystemExit(f"batchproxy refuses the configuration:\n{check.stdout}{check.stderr}")
    os.replace(fresh, path)


def start_proxy(binary, config, folder, backends):
    return Proxy(["--config", config], folder, program=binary).ready(backends)


@contextlib.contextmanager
def running_proxy(report, binary, config, folder, backends):
    """Stops it in the end, if it lives, and shows its last words if anything was wrong."""
    proxy = start_proxy(binary, config, folder, backends)
    try:
        yield proxy
    finally:
        if proxy.process.poll() is None:
            stop_proxy(report, proxy)
        if report.failures:
            words = [line for line in proxy.lines + proxy.errors if " answers/s" not in line and "/s  " not in line]
            print("\nthe proxy's last words:", *words[-15:], sep="\n  ")


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


# --- load ----------------------------------------------------------------------------------------

class Tally:
    """What the clients saw. Another run may judge otherwise."""

    judge = staticmethod(judge)
    harmless = HARMLESS

    def __init__(self):
        self.verdicts = collections.Counter()
        self.details = collections.Counter()  # (verdict, details without the request's own)
        self.examples = []
        self.statuses = collections.Counter()
        self.codes = collections.Counter()
        self.attempts = collections.Counter()
        self.finishes = collections.Counter()
        self.marks = collections.Counter()  # (mark, status)
        self.clean = self.sent = self.left = self.unclear = 0
        self.answered_keys = []  # texts of right answers
        self.slowest = 0.0
        self.times = []

    def count(self, request, response, seconds):
        verdict, details = self.judge(request, response)
        self.statuses[response.status] += 1
        self.finishes[finish_of(response)] += 1
        if response.code:
            self.codes[response.code] += 1
        if verdict == "stream lost" or (response.code == "poison_prompt" and response.status < 500):
            self.unclear += 1  # as what the proxy counts it is not said
        self.attempts[response.headers.get("x-batchproxy-attempts", "-")] += 1
        if request.mark:
            self.marks[request.mark, response.status] += 1
        if verdict == "right":
            self.answered_keys += map(text_of, request.prompts)
        self.times.append(seconds)
        self.slowest = max(self.slowest, seconds)
        self.note(verdict, details, request)

    def lost(self, request, verdict, details):
        self.note(verdict, details, request)

    def note(self, verdict, details, request):
        self.verdicts[verdict] += 1
        self.clean += not request.mark
        if verdict != "right":
            kind = re.sub(r"\br\d+-\d+\S*|127\.0\.0\.1:\d+|'[0-9a-f]{1,16}'", "…", details)[:110]
            self.details[verdict, f"{'@' + request.mark + ' ' if request.mark else ''}{kind}"] += 1
        if verdict not in self.harmless and len(self.examples) < 10:
            self.examples.append(f"{verdict}: {request.id} {'@' + request.mark if request.mark else ''} "
                                 f"{'stream ' if request.stream else ''}{details}"[:240])

    @property
    def answers(self):
        return sum(self.statuses.values())

    @property
    def violations(self):
        return sum(count for verdict, count in self.verdicts.items() if verdict not in self.harmless)


class Load:
    """Workers that ask on keep-alive connections at a given rate until they are told to stop."""

    def __init__(self, address, seed, workers, rate, marked=0.0, leaving=0.0, burst=0.0, tally=None):
        self.address, self.seed, self.rate, self.burst = address, seed, rate, burst
        self.marked, self.leaving = marked, leaving
        self.tally = tally or Tally()
        self.next = 0
        self.stopped = False
        self.wires = set()
        self.begun = time.monotonic()
        self.tasks = [asyncio.create_task(self.work()) for _ in range(workers)]

    async def stop(self):
        """Lets every request come to its end, then listens for bytes that nobody asked for."""
        self.stopped = True
        await asyncio.gather(*self.tasks)
        await asyncio.sleep(0.5)
        for wire in list(self.wires):
            self.forget(wire)

    def forget(self, wire, reset=False):
        if wire in self.wires:
            self.wires.discard(wire)
            if wire.unasked:
                self.tally.verdicts["extra bytes"] += 1
                self.tally.details["extra bytes", "on an idle connection"] += 1
            wire.close(reset)

    async def work(self):
        wire = None
        while not self.stopped:
            number, self.next = self.next, self.next + 1
            due = number / self.rate
            due = self.begun + due - (due % self.burst if self.burst else 0)
            while (pause := due - time.monotonic()) > 0 and not self.stopped:
                await asyncio.sleep(min(pause, 0.5))
            if self.stopped:
                break
            request = make_request(self.seed, number, self.marked)
            if wire is not None and wire.closed:
                self.forget(wire)
                wire = None
            try:
                if wire is None:
                    wire = await connect(self.address)
                    self.wires.add(wire)
            except Lost as lost:
                self.tally.lost(request, "no connection", lost.how)
                await asyncio.sleep(0.1)
                continue
            self.tally.sent += 1
            rng = random.Random(f"{self.seed}/leave/{number}")
            if rng.random() < self.leaving:
                await self.leave(wire, request, rng)
                wire = None
            elif not await self.ask(wire, request):
                self.forget(wire)
                wire = None

    async def ask(self, wire, request):
        begun = time.monotonic()
        try:
            async with asyncio.timeout(CLIENT_PATIENCE):
                response = await wire.exchange(request.bytes())
        except TimeoutError:
            self.tally.lost(request, "never answered", "")
            return False
        except Lost as lost:
            self.tally.lost(request, "lost", f"{lost.how} after {len(lost.partial)} bytes")
            return False
        self.tally.count(request, response, time.monotonic() - begun)
        return not response.last and not response.extra

    async def leave(self, wire, request, rng):
        """Sends a request and goes before, or just as, its answer comes."""
        self.tally.left += 1
        asking = asyncio.create_task(wire.exchange(request.bytes()))
        await asyncio.sleep(rng.choice([0, rng.uniform(0, 0.05)]))
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError, Lost):
            await asking
        wire.unasked = 0
        self.forget(wire, reset=rng.random() < 0.5)


# --- the end of a run ----------------------------------------------------------------------------

class Report:
    """A table of what was checked; `failures` decides the exit code."""

    def __init__(self):
        self.failures = []

    def check(self, good, what, value=""):
        print(f"  {'ok  ' if good else 'FAIL'}  {what}{': ' if value != '' else ''}{value}", flush=True)
        if not good:
            self.failures.append(what)

    def end(self):
        print(f"\n{'FAILED: ' + '; '.join(self.failures) if self.failures else 'PASSED'}", flush=True)
        return 1 if self.failures else 0


def print_counter(title, counter, limit=40):
    print(f"{title}")
    for key, count in counter.most_common(limit):
        name = "  ".join(map(str, key)) if isinstance(key, tuple) else key
        print(f"  {count:>8}  {name}")


def print_tally(tally, seconds):
    times = sorted(tally.times) or [0.0]
    print(f"\n{tally.sent} requests sent in {seconds:.1f} s ({tally.sent / seconds:.0f}/s), {tally.answers} answers, "
          f"{tally.left} clients left early; p50 {times[len(times) // 2] * 1e3:.0f} ms, "
          f"p99 {times[int(len(times) * 0.99)] * 1e3:.0f} ms, slowest {tally.slowest:.1f} s")
    print_counter("verdicts", tally.verdicts)
    print_counter("statuses", tally.statuses)
    print_counter("attempts", tally.attempts)
    print_counter("marked requests: mark, status", tally.marks)
    print_counter("other than right", tally.details)
    for example in tally.examples:
        print(f"  e.g. {example}")


def settle(proxy):
    """The samples once nothing is queued or in flight, or those after the patience of a request."""
    def still():
        now = proxy.metrics()
        return now if now["batchproxy_requests_queued"] == now["batchproxy_requests_inflight"] == 0 else None
    try:
        return wait_until(still, "rest", CLIENT_PATIENCE)
    except AssertionError:
        return proxy.metrics()


def check_answers(report, tally):
    for verdict, count in sorted(tally.verdicts.items()):
        if verdict not in HARMLESS:
            report.check(False, f"{verdict}", count)
    report.check(tally.answers == tally.sent - tally.left, "every request has one answer",
                 f"{tally.answers} of {tally.sent} - {tally.left} left early")


COUNTED_TROUBLE = re.compile(
    r"retri|attempt|requeue|merged|mismatch|poison|stale|late_|split|held|aborted|exception")


def check_figures(report, before, after, tally):
    """The conservation law, within the proxy and against what the clients saw."""
    def grown(name):
        return round(after.get(name, 0) - before.get(name, 0))
    finished = {result: round(value - labelled(before, "batchproxy_requests_finished_total")[result])
                for result, value in labelled(after, "batchproxy_requests_finished_total").items()}
    received, queued = grown("batchproxy_requests_received_total"), round(after["batchproxy_requests_queued"])
    inflight = round(after["batchproxy_requests_inflight"])
    report.check(queued == inflight == 0, "nothing queued or in flight", f"{queued} + {inflight}")
    report.check(received == sum(finished.values()) + queued + inflight, "received = finished + queued + in flight",
                 f"{received} = {sum(finished.values())} + {queued} + {inflight}")
    report.check(tally.answers <= received <= tally.answers + tally.left,
                 "received = answered + left early (those may have gone unread)",
                 f"{received} = {tally.answers} + 0…{tally.left}")
    print(f"          {'result':<16}{'proxy':>10}{'clients':>10}")
    slack = tally.left + tally.unclear
    for result, count in finished.items():
        seen = tally.finishes.get(result, 0)
        print(f"          {result:<16}{count:>10}{seen:>10}")
        if result != "client_gone":
            report.check(seen - tally.unclear <= count <= seen + slack, f"finished {result} as the clients saw it")
    report.check(finished["client_gone"] <= tally.left, "no more clients gone than left",
                 f"{finished['client_gone']} of {tally.left}")
    for code, value in labelled(after, "batchproxy_errors_total").items():
        count = round(value - labelled(before, "batchproxy_errors_total").get(code, 0))
        seen = tally.codes.get(code, 0)
        if code != "cancelled" and not seen <= count <= seen + slack:
            report.check(False, f"errors {code} as the clients saw them", f"{count}, clients saw {seen}")
    gains = collections.Counter()
    for name in after:
        if COUNTED_TROUBLE.search(name) and "bucket" not in name and not name.startswith("batchproxy_errors"):
            gains[re.sub(r'backend="[^"]*",?', "", name).replace("{}", "")] += grown(name)
    for name, gain in sorted(gains.items()):
        if gain:
            print(f"          {name} +{gain}")


def check_files(report, proxy, base):
    """Connections that idle to a backend live a few seconds longer than the load."""
    def back():
        return abs(open_files(proxy.process.pid) - base) <= 2
    with contextlib.suppress(AssertionError):
        wait_until(back, "file descriptors", 20)
    report.check(back(), "file descriptors are back", f"{base} -> {open_files(proxy.process.pid)}")


def check_log(report, proxy):
    bad = [line for line in proxy.lines + proxy.errors
           if re.search(r"internal.?(error|exception)|sanitizer|runtime error|assertion", line, re.I)]
    report.check(not bad, "no internal error in the log", bad[:3] if bad else "")


def check_journals(report, backends, tally):
    """Joins what the clients saw to what the backends wrote down."""
    received, crashes, answered = collections.Counter(), collections.defaultdict(list), 0
    for backend in backends:
        keys = {}
        for when, what, call, rest in backend.events():
            if what == "received":
                keys[call] = rest.rsplit(" ", 1)[-1].split(",")
                received.update(keys[call])
            elif what == "answered":
                answered += 1
            elif what == "failed" and rest == "crash":
                for key in keys.get(call, ()):
                    crashes[key].append(f"{when} at {backend.port} with {len(keys[call]) - 1} others")
    report.check(all(received[key] for key in tally.answered_keys), "every right answer stands in a backend's journal",
                 f"{len(tally.answered_keys)} prompts; backends took {sum(received.values())} "
                 f"and answered {answered} calls")
    worst = max(crashes.values(), key=len, default=[])
    report.check(len(worst) <= MAX_DEATHS, f"no prompt ended more than {MAX_DEATHS} engines by a call it was in",
                 f"{len(worst)}; {len(crashes)} prompts ended one" if len(worst) <= MAX_DEATHS else sorted(worst))
    print_counter("how often a prompt was sent to a backend: times, prompts",
                  collections.Counter(f"{n} times" for n in received.values()))


def stop_proxy(report, proxy):
    report.check(proxy.process.poll() is None, "the proxy is alive")
    code = proxy.stop(signal.SIGTERM)
    report.check(code == 0, "it ends with 0 on SIGTERM", code)


def parser_of(description):
    """With the options that all programs have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=lambda path: pathlib.Path(path).resolve(), default=PROXY,
                        help="the batchproxy to test")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random; printed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a key under batchproxy:, with a JSON value or a word")
    return parser


def settings_of(arguments, **defaults):
    for pair in arguments.set:
        key, _, value = pair.partition("=")
        try:
            defaults[key] = json.loads(value)
        except ValueError:
            defaults[key] = value
    return defaults


def run(play, arguments):
    """Ends the program with what `play` has put into the report."""
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    report = Report()
    with tempfile.TemporaryDirectory(prefix=f"{pathlib.Path(sys.argv[0]).stem}-") as name:
        play(arguments, seed, pathlib.Path(name), report)
    print(f"\nseed {seed}", end="")
    sys.exit(report.end())
