"""Failing engines as programs: killed, revived and told to misbehave from outside."""
import asyncio
import contextlib
import json
import socket
import subprocess
import sys

from .builds import ROOT
from .waiting import wait_until


class EngineProcess:
    """A failing engine (failing_engine.py) that keeps its port while it is dead.

    The port stays bound here without listening, so nobody else gets it, and a proxy that connects to
    it from the same range of ports cannot meet itself."""

    def __init__(self, index, folder, latency=0.02, slots=64, without=()):
        self.folder, self.latency, self.slots, self.without = folder, latency, slots, without
        self.reserve = socket.socket()
        self.reserve.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reserve.bind(("127.0.0.1", 0))
        self.port = self.reserve.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.journal = folder / f"journal-{index}.txt"
        self.log = folder / f"backend-{index}.txt"
        self.process, self.wanted = None, False

    def start(self):
        self.wanted = True
        pages = [flag for path in self.without for flag in ("--without", path)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.failing_engine", "--port", str(self.port), "--journal",
                 str(self.journal), "--latency", str(self.latency), "--slots", str(self.slots), *pages],
                cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.running():
            self.process.send_signal(number)

    def kill(self):
        self.wanted = False
        if self.process:
            self.process.kill()
            self.process.wait()

    def listening(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    async def fault(self, mode, seconds):
        """Asks it to misbehave; true if it heard."""
        body = json.dumps({"mode": mode, "for": seconds}).encode()
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"POST /fault HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                heard = await reader.read(12)
                writer.close()
                return heard.endswith(b"200")
        except (OSError, TimeoutError):
            return False

    def close(self):
        self.kill()
        self.reserve.close()

    def events(self):
        """(time, what, call, rest) of the journal; the last line of a killed engine may be cut."""
        if self.journal.exists():
            for line in self.journal.read_text().splitlines():
                parts = line.split(" ", 3)
                if len(parts) >= 3:
                    yield parts[0], parts[1], parts[2], parts[3] if len(parts) > 3 else ""


@contextlib.contextmanager
def running_engines(count, folder, **how):
    engines = [EngineProcess(i, folder, **how) for i in range(count)]
    try:
        for engine in engines:
            engine.start()
        for engine in engines:
            wait_until(engine.listening, f"an engine at {engine.url}")
        yield engines
    finally:
        for engine in engines:
            engine.close()
