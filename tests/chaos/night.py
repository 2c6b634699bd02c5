"""A night of four simulated engines that batchproxy has started: each dies, stands still, finds no memory or its port
taken, and comes back. Every question is answered once, or 503 after hold_timeout.

    python -m tests.chaos.night [--seconds 600] [--requests 20000] [--seed N]"""
import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import time

from tests.support.asking import call
from tests.support.builds import BUILD
from tests.support.failing_engine import MODEL
from tests.support.processes import descendants
from tests.support.proxy import Proxy

from . import harness
from .client import judge

ENGINES = 4
GPUS_EACH = 2
BOX = "gpus 8 name=NVIDIA_H100 total=81559 used=1000 capability=90\n"
LIVENESS = 2  # seconds
WORST_RETURN = 150  # seconds until an engine is ready again: its back-off has grown to a minute in the end
# Seconds: what is taken is given back after so long.
PORT_TAKEN = (1, 5)
MEMORY_TAKEN = (3, 12)


# --- what the clients see ---------------------------------------------------------------------------

class Tally(harness.Tally):
    """Knows a simulated engine's answers: right ones with another count of tokens, or 503 after the hold."""

    def __init__(self):
        super().__init__()
        self.proxy_is_away = False  # killed by us

    def judge(self, request, response):
        verdict, details = judge(request, response)
        if verdict == "wrong usage":
            return "right", ""  # the simulation has its own tokenizer
        if response.status == 503 and response.code == "no_backend":
            return "held out", details
        if response.status == 502 and response.code == "poison_prompt":
            return "blamed", details
        return ("gave up", details) if verdict == "spent" else (verdict, details)

    def lost(self, request, verdict, details):
        super().lost(request, "proxy away" if self.proxy_is_away else verdict, details)

    harmless = {"right", "held out", "stream lost", "proxy away", "blamed"}


# --- what happens to the engines --------------------------------------------------------------------

@dataclasses.dataclass
class Absence:
    engine: int
    reason: str
    begun: float
    seconds: float | None = None  # None: not back yet


class Night:
    """A script of misfortunes, one engine at a time each, and now and then all of them."""

    def __init__(self, arguments, folder, seed):
        self.arguments, self.folder, self.rng = arguments, folder, random.Random(seed)
        self.box = folder / "gpus.box"
        self.memory_taken = set()  # engines
        self.write_box()
        for engine in range(ENGINES):
            self.oom_file(engine).touch()
        self.config = folder / "config.yaml"
        self.config.write_text(json.dumps(self.settings()))
        self.proxies = []
        self.proxy = self.start_proxy("127.0.0.1:0", "127.0.0.1:0").ready(ENGINES)
        self.ports = [int(backend["url"].rsplit(":", 1)[1]) for backend in self.proxy.status()["backends"]]
        self.tally = Tally()
        self.busy = {}  # engine: reason
        self.absences = []
        self.strokes = set()
        self.done = collections.Counter()
        self.stayed_away = []

    def settings(self):
        engine = [str(self.arguments.binary), "sim-engine", "{model}", "--port", "{port}", "--sim-answer", "sha256",
                  "--sim-time-scale", "0.05", "--sim-load-time", "0.5",
                  "--sim-fail", "oom-load", "--sim-fail-once", f"{self.folder}/failed-{{index}}"]
        launcher = {"engine": "command", "command": engine, "servers": ENGINES, "stagger": 0, "stop_timeout": 3,
                    "liveness_timeout": LIVENESS, "log_directory": str(self.folder / "logs")}
        if self.arguments.keep:
            launcher["keep"] = True
        generator = {"boot_local": True, "hf_model_id": MODEL, "vllm_args": {
            "tensor_parallel_size": GPUS_EACH, "max_model_len": 8192, "max_num_seqs": 64}}
        return {"model": {"generator_settings": generator}, "batchproxy": harness.settings_of(
            self.arguments, launcher=launcher, request_timeout=60, hold_timeout=10, health_interval=0.2,
            health_timeout=0.5, stuck_timeout=1, drain_timeout=10)}

    def start_proxy(self, listen, admin):
        libraries = self.folder / "lib"
        libraries.mkdir(exist_ok=True)
        library = BUILD / "tests" / "liblauncher_fake_nvml.so"
        if not library.exists():
            raise SystemExit(f"{library} is missing: build the target launcher_fake_nvml")
        with contextlib.suppress(FileExistsError):
            (libraries / "libnvidia-ml.so.1").symlink_to(library)
        env = {"LD_LIBRARY_PATH": str(libraries), "FAKE_NVML": str(self.box), "XDG_STATE_HOME": str(self.folder / "state")}
        self.proxies.append(Proxy(["--config", self.config, "--listen", listen, "--admin", admin], self.folder, env=env,
                                  program=self.arguments.binary))
        return self.proxies[-1]

    def oom_file(self, engine):
        return self.folder / f"failed-{engine}"

    def write_box(self):
        taken = [f"gpu {gpu} used=70000\n" for engine in self.memory_taken
                 for gpu in range(engine * GPUS_EACH, (engine + 1) * GPUS_EACH)]
        fresh = self.box.with_suffix(".new")
        fresh.write_text(BOX + "".join(taken))
        os.replace(fresh, self.box)

    def pid(self, engine):
        lines = [line for proxy in self.proxies for line in list(proxy.lines)]
        return [int(m[1]) for line in lines if (m := re.search(rf"engine-{engine}: started, pid (\d+)", line))][-1]

    def signal(self, engine, number):
        with contextlib.suppress(ProcessLookupError):  # it is down
            os.kill(self.pid(engine), number)

    async def order(self, path):
        response, text = await asyncio.to_thread(call, self.proxy.admin, f"/admin/engines/{path}", "", method="POST")
        if response.status != 202:
            raise AssertionError(f"the order {path} is answered {response.status}: {text.decode()}")

    # --- each misfortune; it is over when the engine may come back -----------------------------------

    async def killed(self, engine):
        self.signal(engine, signal.SIGKILL)

    async def stopped(self, engine):
        self.signal(engine, signal.SIGSTOP)  # nobody wakes it: the launcher has to kill it

    async def out_of_memory(self, engine):
        self.oom_file(engine).unlink()  # its next start fails
        self.signal(engine, signal.SIGKILL)

    async def port_stolen(self, engine):
        self.signal(engine, signal.SIGKILL)
        begun = time.monotonic()
        while True:  # until the kernel has let go of it
            try:
                thief = await asyncio.start_server(not_found, "127.0.0.1", self.ports[engine])
                break
            except OSError:
                if time.monotonic() - begun > 5:
                    raise
                await asyncio.sleep(0.005)
        async with thief:
            await asyncio.sleep(self.rng.uniform(*PORT_TAKEN))

    async def memory_stays_taken(self, engine):
        self.memory_taken.add(engine)
        self.write_box()
        self.signal(engine, signal.SIGKILL)
        await asyncio.sleep(self.rng.uniform(*MEMORY_TAKEN))
        self.memory_taken.discard(engine)
        self.write_box()

    async def restart_ordered(self, engine):
        await self.order(f"engine-{engine}/restart")

    async def stop_and_start_ordered(self, engine):
        await self.order(f"engine-{engine}/stop")
        await self.until(engine, "stopped")
        await self.order(f"engine-{engine}/start")

    KINDS = [killed, stopped, out_of_memory, port_stolen, memory_stays_taken, restart_ordered, stop_and_start_ordered]

    async def proxy_killed(self):
        """Drawn with --keep only: the proxy dies and comes back, and the engines have stayed."""
        before = [self.pid(engine) for engine in range(ENGINES)]
        self.tally.proxy_is_away = True
        old = self.proxy
        await asyncio.to_thread(old.kill)
        self.proxy = await asyncio.to_thread(self.start_proxy, old.address, old.admin.removeprefix("http://"))
        await asyncio.to_thread(self.proxy.ready, ENGINES)
        self.tally.proxy_is_away = False
        if gone := [pid for pid in before if not os.path.exists(f"/proc/{pid}")]:
            raise AssertionError(f"engines did not survive the proxy: {gone}")

    # --- the script -----------------------------------------------------------------------------------

    async def run(self):
        while True:
            kinds = [*self.KINDS, "all killed", *(["proxy killed"] if self.arguments.keep else [])]
            self.rng.shuffle(kinds)
            for kind in kinds:
                await asyncio.sleep(self.rng.uniform(*self.arguments.pause))
                if isinstance(kind, str):
                    await self.rest()
                    self.done[kind] += 1
                if kind == "all killed":
                    for engine in range(ENGINES):
                        self.strike(engine, self.killed, kind)
                elif kind == "proxy killed":
                    await self.proxy_killed()
                else:
                    while len(self.busy) == ENGINES:
                        await asyncio.sleep(0.1)
                    free = [engine for engine in range(ENGINES) if engine not in self.busy]
                    self.done[words(kind)] += 1
                    self.strike(self.rng.choice(free), kind.__get__(self), words(kind))

    async def rest(self):
        """Until every engine is back."""
        while self.strokes:
            await asyncio.sleep(0.1)

    def strike(self, engine, misfortune, reason):
        self.busy[engine] = reason
        absence = Absence(engine, reason, time.monotonic())
        self.absences.append(absence)
        task = asyncio.create_task(self.stroke(absence, misfortune))
        self.strokes.add(task)
        task.add_done_callback(self.strokes.discard)

    async def stroke(self, absence, misfortune):
        gone = asyncio.create_task(self.until(absence.engine, "away"))
        await misfortune(absence.engine)
        await gone
        await self.until(absence.engine, "ready")
        absence.seconds = time.monotonic() - absence.begun
        del self.busy[absence.engine]

    async def until(self, engine, state):
        begun = time.monotonic()
        while time.monotonic() - begun < WORST_RETURN:
            with contextlib.suppress(OSError):  # the proxy is away
                now = (await asyncio.to_thread(self.proxy.status))["backends"][engine]["state"]
                if now == state or (state == "away" and now != "ready"):
                    return
            await asyncio.sleep(0.1)
        raise AssertionError(f"engine-{engine} is not {state} after {WORST_RETURN} s ({self.busy.get(engine)})")

    def print_absences(self):
        print("\nengine    times away  seconds away  each: seconds, reason")
        for engine in range(ENGINES):
            mine = [a for a in self.absences if a.engine == engine]
            total = sum(a.seconds or 0 for a in mine)
            each = [f"{a.seconds:.1f} {a.reason}" if a.seconds else f"not back: {a.reason}" for a in mine]
            lines = [", ".join(each[i:i + 4]) for i in range(0, len(each), 4)] or [""]
            print(f"engine-{engine}  {len(mine):>10}  {total:>12.1f}  {lines[0]}")
            for line in lines[1:]:
                print(f"{'':34}{line}")


async def not_found(reader, writer):
    """Somebody else's web server."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
    writer.close()


def words(kind):
    return kind.__name__.replace("_", " ")


# --- the run ----------------------------------------------------------------------------------------

async def run(arguments, night, seed):
    rate = 1.02 * arguments.requests / arguments.seconds
    load = harness.Load(night.proxy.address, seed, arguments.workers, rate, tally=night.tally)
    script = asyncio.create_task(night.run())
    begun = said = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        for task in (script, *night.strokes):
            if task.done():
                task.result()  # it raises
        seconds = time.monotonic() - begun
        if seconds >= arguments.seconds and load.tally.sent >= arguments.requests:
            break
        if seconds >= 2 * arguments.seconds + 60:
            break
        if not night.proxy.is_running() and not night.tally.proxy_is_away:
            raise AssertionError(f"the proxy has ended with {night.proxy.wait()}")
        if time.monotonic() - said >= 10:
            said = time.monotonic()
            print(f"{seconds:6.0f} s  {load.tally.sent} sent, {load.tally.answers} answered, away: "
                  f"{', '.join(f'engine-{engine} {why}' for engine, why in sorted(night.busy.items())) or 'none'}",
                  flush=True)
    script.cancel()
    await asyncio.gather(*list(night.strokes))
    seconds = time.monotonic() - begun
    await load.stop()
    return seconds


def play(arguments, seed, folder, report):
    night = Night(arguments, folder, seed)
    try:
        before = night.proxy.metrics()
        try:
            seconds = asyncio.run(run(arguments, night, seed))
        except AssertionError as error:
            night.print_absences()
            report.check(False, str(error))
            return
        harness.print_tally(night.tally, seconds)
        harness.print_counter("\nmisfortunes", night.done)
        night.print_absences()
        print("\nchecks")
        check(arguments, night, before, report)
    finally:
        if night.proxy.is_running():
            harness.stop_proxy(report, night.proxy)
        harness.check_log(report, night.proxy)
        if report.failures:
            print("\nthe proxy's last words:", *(night.proxy.lines + night.proxy.errors)[-60:], sep="\n  ")


def check(arguments, night, before, report):
    tally = night.tally
    report.check(night.proxy.is_running(), "the proxy is alive")
    report.check(tally.sent >= arguments.requests, "enough questions", tally.sent)
    wrong = {verdict: count for verdict, count in tally.verdicts.items() if verdict not in Tally.harmless}
    report.check(not wrong, "every one answered right, 503 after hold_timeout, or told in its stream", wrong or "")
    # An engine ends every other second: now and then one request is on three of them, and alone on the third.
    report.check(tally.verdicts["blamed"] <= 1 + tally.sent // 1000, "hardly any blamed for the ends", tally.verdicts["blamed"])
    report.check(tally.statuses[404] == 0, "none 404")
    if not arguments.keep:
        report.check(tally.answers == tally.sent, "none lost", f"{tally.answers} of {tally.sent}")
        harness.check_figures(report, before, harness.settle(night.proxy), tally)
    report.check(all(a.seconds for a in night.absences), "every engine came back", len(night.absences))
    missing = {words(kind) for kind in Night.KINDS} - set(night.done)
    report.check(not missing, "every misfortune has happened", missing or "")
    zombies = [pid for pid, state in descendants(night.proxy.pid).items() if state == "Z"]
    report.check(not zombies, "no zombie", zombies or "")


def main():
    parser = harness.parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--pause", type=float, nargs=2, default=(3, 9), metavar=("LEAST", "MOST"),
                        help="seconds between two misfortunes")
    parser.add_argument("--keep", action="store_true",
                        help="batchproxy.launcher.keep, and the proxy is killed and started again too")
    harness.run(play, parser.parse_args())


if __name__ == "__main__":
    main()
