"""SIGTERM under full load: whatever was asked is answered, and the proxy ends with 0 in time.

    python -m tests.chaos.drain [--repeats 20] [--workers 64] [--seed N]

Keep-alive workers ask without a pause, others open a connection for every request, a few requests are
slow, and some connections idle. Every second time the proxy is stopped for a moment before SIGTERM, so
that connections with a whole request on them wait in its backlog when it hears of it."""
import asyncio
import collections
import contextlib
import random
import re
import signal
import time

from tests.support.engine_process import running_engines

from . import client, harness
from .client import Lost, Request

SLOW, IDLE, BACKLOG = 4, 4, 16  # requests, connections, connections
SLOW_MS = 1200


class Drain:
    """One repeat."""

    def __init__(self, proxy, name, rng):
        self.proxy, self.name, self.rng = proxy, name, rng
        self.number = 0
        self.seen = collections.Counter()
        self.failures = collections.Counter()
        self.signalled = False

    def request(self, mark=""):
        self.number += 1
        number = f"{self.name}-{self.number}"
        return Request(number, [f"{number} why does the sun set {mark}"], mark="slow" if mark else "")

    def judge(self, request, response):
        verdict, details = client.judge(request, response)
        self.seen["answered"] += 1
        if self.signalled:
            self.seen["answered after SIGTERM"] += 1
        if response.status != 200 or verdict != "right":
            self.failures[f"{verdict}: {details}"[:100]] += 1

    async def ask(self, wire, request, what):
        """The response, or None if the connection died under the request, which is a failure."""
        try:
            response = await wire.exchange(request.bytes())
        except Lost as lost:
            self.failures[f"{what}: {lost.how} after {len(lost.partial)} bytes of an answer"] += 1
            return None
        self.judge(request, response)
        return response

    async def connect(self):
        """A connection, or None once nobody listens any more."""
        try:
            return await client.connect(self.proxy.address)
        except Lost as lost:
            if not (lost.refused and self.signalled):
                self.failures[lost.how] += 1
            return None

    async def keep_asking(self):
        wire = None
        while True:
            if wire is None or wire.closed:
                # Closed before the next request was written: no harm done.
                wire = await self.connect()
                if wire is None:
                    return
            response = await self.ask(wire, self.request(), "keep-alive")
            if response is None:
                return
            if response.last:
                wire.close()
                if self.signalled:
                    self.seen["told to close"] += 1
                    return
                wire = None

    async def keep_connecting(self):
        while wire := await self.connect():
            response = await self.ask(wire, self.request(), "new connection")
            wire.close()
            if response is None:
                return

    async def one(self, what, mark=""):
        if wire := await self.connect():
            self.seen[f"sent, {what}"] += 1  # the next line writes before anything else can run
            await self.ask(wire, self.request(mark), what)
            wire.close()

    async def idle(self):
        if wire := await self.connect():
            await self.ask(wire, self.request(), "idle")
            while not wire.closed:
                await asyncio.sleep(0.02)

    async def run(self, workers, fresh, with_backlog):
        process = self.proxy.process
        tasks = [asyncio.create_task(self.keep_asking()) for _ in range(workers)]
        tasks += [asyncio.create_task(self.keep_connecting()) for _ in range(fresh)]
        tasks += [asyncio.create_task(self.idle()) for _ in range(IDLE)]
        await asyncio.sleep(self.rng.uniform(0.2, 1.0))
        tasks += [asyncio.create_task(self.one("slow", f"@slow:{SLOW_MS}")) for _ in range(SLOW)]
        await asyncio.sleep(self.rng.uniform(0.1, 0.3))
        if with_backlog:
            process.send_signal(signal.SIGSTOP)
            waiting = [asyncio.create_task(self.one("in the backlog")) for _ in range(BACKLOG)]
            tasks += waiting
            # They connect and write: the kernel answers for the proxy.
            async with asyncio.timeout(10):
                while self.seen["sent, in the backlog"] < BACKLOG:
                    await asyncio.sleep(0.01)
        self.signalled = True
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        if with_backlog:
            process.send_signal(signal.SIGCONT)
        return begun, tasks


async def ended(process, patience):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while process.poll() is None:
                await asyncio.sleep(0.01)
    return process.poll()


async def repeat(drain, arguments, with_backlog):
    """(seconds until the proxy had ended, its exit code or None)."""
    begun, tasks = await drain.run(arguments.workers, arguments.fresh, with_backlog)
    code = await ended(drain.proxy.process, arguments.drain_timeout + 5)
    seconds = time.monotonic() - begun
    if code is None:
        drain.proxy.process.kill()
    _, pending = await asyncio.wait(tasks, timeout=10)
    if pending:
        drain.failures["requests without an end"] += len(pending)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in set(tasks) - pending:
        task.result()
    return seconds, code


def play(arguments, seed, folder, report):
    failures, seen = collections.Counter(), collections.Counter()
    slowest, codes = 0.0, collections.Counter()
    config = folder / "config.yaml"
    with running_engines(2, folder, latency=0.01, slots=256) as backends:
        harness.write_config(config, arguments.binary, backends, harness.settings_of(
            arguments, drain_timeout=arguments.drain_timeout, health_interval=0.2))
        for index in range(arguments.repeats):
            proxy = harness.start_proxy(arguments.binary, config, folder, len(backends))
            drain = Drain(proxy, f"d{seed}-{index}", random.Random(f"{seed}/{index}"))
            seconds, code = asyncio.run(repeat(drain, arguments, index % 2 == 1))
            proxy.wait()
            received = [int(m[1]) for m in (re.search(r"stopped: (\d+) requests received", line)
                                            for line in proxy.lines) if m]
            if received and received[0] != drain.seen["answered"]:
                drain.failures["received whole but not answered"] += received[0] - drain.seen["answered"]
            if any("internal" in line for line in proxy.errors + proxy.lines):
                harness.check_log(report, proxy)
            print(f"  {index + 1:>3}  {'backlog' if index % 2 else 'plain  '}  exit {code} after {seconds:5.2f} s  "
                  f"{dict(drain.seen)}  {dict(drain.failures) or ''}", flush=True)
            failures.update(drain.failures)
            seen.update(drain.seen)
            codes[code] += 1
            slowest = max(slowest, seconds)
    harness.print_counter("\nseen", seen)
    harness.print_counter("failures", failures)
    print("\nchecks")
    report.check(not failures, "every request was answered 200", sum(failures.values()) or seen["answered"])
    report.check(seen["answered after SIGTERM"] > 0, "some were answered after SIGTERM")
    report.check(set(codes) == {0}, "exit code 0", dict(codes))
    report.check(slowest <= arguments.drain_timeout, f"ended within {arguments.drain_timeout} s", f"{slowest:.2f} s")


def main():
    parser = harness.parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--fresh", type=int, default=8, help="workers that connect for every request")
    parser.add_argument("--drain-timeout", type=float, default=20)
    harness.run(play, parser.parse_args())


if __name__ == "__main__":
    main()
