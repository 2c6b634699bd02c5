"""Many minutes of moderate load, with a kill every 5 s and a reload every 30 s: nothing may grow.

    python -m tests.chaos.soak [--minutes 20] [--rate 150] [--seed N]

Five fake backends run; the configuration names four or five of them, and each reload (SIGHUP) adds or
removes one and changes batch_size."""
import asyncio
import collections
import contextlib
import dataclasses
import random
import signal
import statistics
import time

from tests.support.engine_process import running_engines

from . import harness

BATCH_SIZES = [8, 16, 32]
PATIENCE = 10  # seconds for a reload to show in /status


@dataclasses.dataclass
class Sample:
    seconds: float
    rss: int  # KiB
    files: int
    connections: int
    backends: int


class Soak:
    def __init__(self, arguments, proxy, backends, config, rng):
        self.arguments, self.proxy, self.backends, self.config, self.rng = arguments, proxy, backends, config, rng
        self.named = backends[:4]
        self.begun = time.monotonic()
        self.samples = []
        self.seen = collections.Counter()

    def alive(self):
        return self.proxy.process.poll() is None

    async def kill(self):
        while True:
            await asyncio.sleep(self.arguments.kill_every)
            victim = self.rng.choice([b for b in self.backends if b.running()])
            victim.kill()
            self.seen["kills"] += 1
            await asyncio.sleep(self.rng.uniform(0.2, min(3, self.arguments.kill_every / 2)))
            victim.start()

    async def reload_now(self, named):
        self.named = named
        await asyncio.to_thread(self.write)
        if not self.alive():
            return
        self.proxy.process.send_signal(signal.SIGHUP)
        self.seen["reloads"] += 1
        wanted = {backend.url for backend in named}
        end = time.monotonic() + PATIENCE
        while self.alive() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                status = await asyncio.to_thread(self.proxy.status)
                if {b["url"] for b in status["backends"]} == wanted:
                    self.seen["reloads seen in /status"] += 1
                    return
            await asyncio.sleep(0.1)

    def write(self):
        harness.write_config(self.config, self.arguments.binary, self.named, settings(self.arguments),
                             {"batch_size": self.rng.choice(BATCH_SIZES)})

    async def reload(self):
        while True:
            await asyncio.sleep(self.arguments.reload_every)
            missing = [b for b in self.backends if b not in self.named]
            extra = self.rng.choice(self.named)
            await self.reload_now(self.named + missing if missing else [b for b in self.named if b is not extra])

    async def watch(self, load):
        print("\n  seconds  backends  RSS KiB  files  clients      sent     spent  violations  reloads  kills")
        while True:
            await asyncio.sleep(self.arguments.sample_every)
            pid, tally = self.proxy.process.pid, load.tally
            try:
                counts = await asyncio.to_thread(self.proxy.metrics)
                connections = sum(counts[f'batchproxy_connections{{state="{state}"}}'] for state in ("idle", "active"))
                sample = Sample(time.monotonic() - self.begun, harness.resident_kib(pid), harness.open_files(pid),
                                round(connections), len(self.named))
            except OSError:
                continue  # it is gone, which is reported in the end
            self.samples.append(sample)
            print(f"  {sample.seconds:7.0f}  {sample.backends:8}  {sample.rss:7}  {sample.files:5}  "
                  f"{sample.connections:7}  "
                  f"{tally.sent:8}  {tally.verdicts['spent']:8}  {tally.violations:10}  "
                  f"{self.seen['reloads']:7}  {self.seen['kills']:5}", flush=True)

    def growth(self):
        """[(backends, KiB)]: growth between the first window after the warm-up and the last one, apart
        for each number of backends, as each of them costs memory. Empty if the run was too short."""
        warm, window = [s for s in self.samples if s.seconds >= self.arguments.warm_up], self.arguments.window
        found = []
        for count in sorted({s.backends for s in warm}):
            alike = [s for s in warm if s.backends == count]
            first = [s.rss for s in alike if s.seconds < self.arguments.warm_up + window]
            last = [s.rss for s in alike if s.seconds >= warm[-1].seconds - window]
            if first and last and warm[-1].seconds >= self.arguments.warm_up + 2 * window:
                found.append((count, round(statistics.median(last) - statistics.median(first))))
        return found

    async def run(self, seed):
        load = harness.Load(self.proxy.address, seed, self.arguments.workers, self.arguments.rate, 0.002, 0.002)
        tasks = [asyncio.create_task(what) for what in
                 (self.kill(), self.reload(), self.watch(load), harness.revive(self.backends, self.rng))]
        while self.alive() and time.monotonic() - self.begun < self.arguments.minutes * 60:
            await asyncio.sleep(0.1)
            for task in tasks:
                if task.done():
                    task.result()
        seconds = time.monotonic() - self.begun
        for task in tasks[:3]:
            task.cancel()
        await asyncio.gather(*tasks[:3], return_exceptions=True)
        for backend in self.backends:
            if not backend.running():
                backend.start()
        if self.alive():
            await self.reload_now(self.backends[:4])
        await load.stop()
        tasks[3].cancel()
        return load.tally, seconds


def settings(arguments):
    return harness.settings_of(arguments, attempt_timeout=2, request_timeout=60, health_interval=0.2)


def play(arguments, seed, folder, report):
    config = folder / "config.yaml"
    with running_engines(5, folder) as backends:
        harness.write_config(config, arguments.binary, backends[:4], settings(arguments))
        with harness.running_proxy(report, arguments.binary, config, folder, 4) as proxy:
            before, files = proxy.metrics(), harness.open_files(proxy.process.pid)
            soak = Soak(arguments, proxy, backends, config, random.Random(seed))
            tally, seconds = asyncio.run(soak.run(seed))
            harness.print_tally(tally, seconds)
            print("\nchecks")
            report.check(soak.alive(), "the proxy is alive", proxy.process.poll() or "")
            harness.check_answers(report, tally)
            report.check(soak.seen["reloads"] == soak.seen["reloads seen in /status"] > 0,
                         "every reload took effect",
                         f"{soak.seen['reloads seen in /status']} of {soak.seen['reloads']}")
            growth = soak.growth()
            report.check(growth and all(kib <= arguments.max_growth for _, kib in growth),
                         f"RSS grew by at most {arguments.max_growth} KiB after the warm-up",
                         ", ".join(f"{kib:+} with {count} backends" for count, kib in growth) or "too short to say")
            if soak.alive():
                check_rest(report, proxy, before, files, tally, soak.seen["reloads"])
            harness.check_log(report, proxy)


def check_rest(report, proxy, before, files, tally, reloads):
    after = harness.settle(proxy)
    harness.check_figures(report, before, after, tally)
    generation = after.get("batchproxy_config_generation", 0) - before.get("batchproxy_config_generation", 0)
    report.check(generation == reloads, "config_generation counts the reloads", f"{generation:.0f} of {reloads}")
    harness.check_files(report, proxy, files)


def main():
    parser = harness.parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=150, help="requests per second")
    parser.add_argument("--workers", type=int, default=48)
    parser.add_argument("--kill-every", type=float, default=5)
    parser.add_argument("--reload-every", type=float, default=30)
    parser.add_argument("--sample-every", type=float, default=5)
    parser.add_argument("--warm-up", type=float, default=120, help="seconds that do not count")
    parser.add_argument("--window", type=float, default=60, help="seconds of either end that are compared")
    parser.add_argument("--max-growth", type=float, default=512, help="KiB")
    harness.run(play, parser.parse_args())


if __name__ == "__main__":
    main()
