"""Four backends that die, hang, lie and hang up at random under 200 workers; every answer is checked.

    python -m tests.chaos.chaos [--merge always] [--sigstop] [--seconds 120] [--requests 50000] [--seed N]"""
import asyncio
import collections
import random
import signal
import time

from tests.support.engine_process import running_engines

from . import harness

LONGEST = {"kill": 3, "hang": 4, "stall": 4}  # seconds; others 2
ALL_AT_ONCE = 0.08  # share of misfortunes
LIES = {"garbage", "reset", "500"}  # while all of them do it, no request can be answered
# Seconds: requests that are due within this time come together, so that some share a call.
BURST = {"always": 0.3, "auto": 0.05, "off": 0.05}


class Chaos:
    """Misfortune, one backend at a time, and now and then all of them at once."""

    def __init__(self, backends, rng, modes, sigstop):
        self.backends, self.rng, self.modes, self.sigstop = backends, rng, modes, sigstop
        self.busy = set()
        self.done = collections.Counter()
        self.strokes = set()
        self.all_lied = 0.0  # seconds

    async def run(self):
        while True:
            await asyncio.sleep(self.rng.uniform(0.2, 1.2))
            if self.rng.random() < ALL_AT_ONCE:
                if self.strokes:
                    await asyncio.wait(self.strokes)
                mode, seconds = self.rng.choice(self.modes), self.rng.uniform(1, 4)
                self.done[f"{mode} all"] += 1
                self.all_lied += seconds if mode in LIES else 0
                for backend in self.backends:
                    self.strike(backend, mode, seconds * self.rng.uniform(0.7, 1))
            elif free := [b for b in self.backends if b not in self.busy]:
                mode = self.rng.choice([*self.modes, *(["kill"] if "kill" in self.modes else [])])
                self.done[mode] += 1
                self.strike(self.rng.choice(free), mode, self.rng.uniform(0.2, LONGEST.get(mode, 2)))

    def strike(self, backend, mode, seconds):
        self.busy.add(backend)
        task = asyncio.create_task(self.stroke(backend, mode, seconds))
        self.strokes.add(task)
        task.add_done_callback(self.strokes.discard)

    async def stroke(self, backend, mode, seconds):
        try:
            if mode == "kill":
                backend.kill()
                await asyncio.sleep(seconds)
                backend.start()
            elif mode == "hang" and self.sigstop:
                backend.signal(signal.SIGSTOP)
                try:
                    await asyncio.sleep(seconds)
                finally:
                    backend.signal(signal.SIGCONT)
            else:
                await backend.fault(mode, seconds)
                await asyncio.sleep(seconds)
        finally:
            self.busy.discard(backend)


async def run(arguments, proxy, backends, seed):
    load = harness.Load(proxy.address, seed, arguments.workers, 1.02 * arguments.requests / arguments.seconds,
                        arguments.marked, arguments.leaving, burst=BURST[arguments.merge])
    chaos = Chaos(backends, random.Random(seed), arguments.modes.split(","), arguments.sigstop)
    misfortune = asyncio.create_task(chaos.run() if arguments.modes != "none" else asyncio.Event().wait())
    reviving = asyncio.create_task(harness.revive(backends, random.Random(seed + 1)))
    begun = said = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        for task in (misfortune, reviving):
            if task.done():
                task.result()  # it raises
        seconds = time.monotonic() - begun
        if seconds >= arguments.seconds and load.tally.sent >= arguments.requests:
            break
        if seconds >= 3 * arguments.seconds or proxy.process.poll() is not None:
            break
        if time.monotonic() - said >= 10:
            said = time.monotonic()
            tally = load.tally
            print(f"{seconds:6.0f} s  {tally.sent} sent, {tally.answers} answered, {tally.verdicts['spent']} spent, "
                  f"{tally.violations} violations", flush=True)
    misfortune.cancel()
    # Whatever was under way ends in its own time: every backend is back afterwards.
    await asyncio.gather(*list(chaos.strokes))
    seconds = time.monotonic() - begun
    await load.stop()
    reviving.cancel()
    harness.print_counter("\nmisfortunes", chaos.done)
    return load.tally, seconds, chaos.all_lied / seconds


def main():
    parser = harness.parser_of(__doc__)
    parser.add_argument("--merge", choices=["auto", "always", "off"], default="auto")
    parser.add_argument("--sigstop", action="store_true", help="hang backends with SIGSTOP")
    parser.add_argument("--modes", default="kill,hang,stall,busy,garbage,reset",
                        help="misfortunes; there is also 500; or none")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--requests", type=int, default=50000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--marked", type=float, default=0.01, help="share of prompts that carry a fault")
    parser.add_argument("--leaving", type=float, default=0.005, help="share of clients that leave early")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds a backend takes for a call")
    parser.add_argument("--slots", type=int, default=64, help="prompts that a backend works on at once")
    parser.add_argument("--max-spent", type=float, default=0.05,
                        help="largest share of unmarked requests that may use up their attempts")
    harness.run(play, parser.parse_args())


def play(arguments, seed, folder, report):
    config = folder / "config.yaml"
    with running_engines(4, folder, latency=arguments.latency, slots=arguments.slots) as backends:
        harness.write_config(config, arguments.binary, backends, harness.settings_of(
            arguments, merge=arguments.merge, attempt_timeout=2, request_timeout=60, health_interval=0.2, stuck_timeout=1))
        with harness.running_proxy(report, arguments.binary, config, folder, len(backends)) as proxy:
            before, files = proxy.metrics(), harness.open_files(proxy.process.pid)
            tally, seconds, all_lied = asyncio.run(run(arguments, proxy, backends, seed))
            harness.print_tally(tally, seconds)
            print("\nchecks")
            report.check(proxy.process.poll() is None, "the proxy is alive", proxy.process.poll() or "")
            report.check(tally.sent >= arguments.requests, "enough requests", tally.sent)
            harness.check_answers(report, tally)
            share = sum(count for (verdict, what), count in tally.details.items()
                        if verdict in ("spent", "stream lost") and not what.startswith("@")) / max(1, tally.clean)
            most = arguments.max_spent + all_lied
            report.check(share <= most, f"at most {most:.1%} of the unmarked spent", f"{share:.2%}")
            if proxy.process.poll() is None:
                check_proxy(report, proxy, before, files, tally, arguments.merge)
            harness.check_log(report, proxy)
            harness.check_journals(report, backends, tally)


def check_proxy(report, proxy, before, files, tally, merge):
    after = harness.settle(proxy)
    harness.check_figures(report, before, after, tally)
    if merge == "always":
        report.check(after["batchproxy_merged_calls_total"] > 0, "some requests shared a call",
                     round(after["batchproxy_merged_requests_total"]))
    harness.check_files(report, proxy, files)


if __name__ == "__main__":
    main()
