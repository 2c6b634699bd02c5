"""A stub of an engine and a hop before it on one core, and what is measured of the hop."""
import contextlib
import gc
import http.client
import json
import os
import pathlib
import socket
import ssl
import tempfile
import time

from ..client import Client
from ..engines import stub_engine
from ..machine import cpu_seconds, go_along, go_first, idle_seconds, resident
from . import hops
from .wrk import Wrk


def find_foreign():
    """Debian keeps two of the foreign hops where no user looks."""
    if "/usr/sbin" not in os.environ["PATH"].split(":"):
        os.environ["PATH"] += ":/usr/sbin"


def resident_mib(pid):
    return resident(pid) / 2**20


class Lab:
    """Starts a stub and hops before it on one core; all stop when the `with` block ends."""

    def __init__(self, build, core, seconds, connections, first=False, prefix=(), threads=1):
        """`seconds` a measurement takes; `connections`: the most that there will be; `first`: before other programs
        (not for a load that takes the whole core); `prefix`: what foreign hops are started by; `threads` of each hop:
        with several, all cores are used."""
        self.prefix, self.threads = prefix, threads
        self._cores = {core} if threads == 1 else os.sched_getaffinity(0)
        self.build, self.core, self.seconds, self.connections, self._first = build, core, seconds, connections, first

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory()
        self.work = pathlib.Path(self._directory.name)
        self._servers = []
        return self

    def __exit__(self, kind, error, trace):
        for server in reversed(self._servers):
            server.kill()
        said = "".join(f"\n{server.name}: {server.output()}" for server in self._servers)
        self._directory.cleanup()
        if isinstance(error, OSError):  # a connection, mostly: why is in what its other end has said
            raise SystemExit(f"{error!r}; the programs said:{said}")

    def pin(self):
        os.sched_setaffinity(0, self._cores)
        if self._first:
            go_first()

    def keep(self, name, server):
        """A program that is to be stopped at the end."""
        server.name, server.is_secured = name, False
        self._servers.append(server)
        return server

    @property
    def kept(self):
        return len(self._servers)

    def start_stub(self, ports=1):
        self.stub = self.keep("stub", stub_engine(self.build, self.work, ports, prepare=self.pin))
        self._asking = Client(self.stub.port)

    def start(self, name, build=None):
        return hops.start(self, name, build)

    def check(self, hop, body):
        """One answer through the hop, which must be the stub's."""
        answers = []
        for server in (self.stub, hop):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=hops.PATIENCE)
            if server.is_secured:
                connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=hops.PATIENCE,
                                                         context=ssl._create_unverified_context())
            connection.request("POST", body.path, body.data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answers.append((answer.status, answer.read()))
            connection.close()
        if answers[0] != answers[1] or answers[0][0] != 200:
            raise SystemExit(f"{hop.name} answers {body.name} with {answers[1]}; the stub does with {answers[0]}")

    def prompts(self):
        """That have arrived at the stub."""
        return json.loads(self._asking.ask("/stats")[1])["prompts"]

    def _costs(self, hop, load):
        """CPU seconds of hop, stub and wrk; requests and prompts at the stub; the core's idle time; the time."""
        cpu = [cpu_seconds(server.pid) for server in (hop, self.stub, load)]
        stats = json.loads(self._asking.ask("/stats")[1])
        return [*cpu, stats["requests"], stats["prompts"], idle_seconds(self.core), time.monotonic()]

    def measure_load(self, hop, body, connections):
        """What a request costs the hop; requests are counted where they arrive, by their prompts."""
        with Wrk(self, hop, body, connections) as load:
            before = self._costs(hop, load)
            time.sleep(self.seconds)
            after = self._costs(hop, load)
            memory = resident_mib(hop.pid)
        hop_cpu, stub_cpu, wrk_cpu, requests, prompts, idle, wall = [b - a for a, b in zip(before, after)]
        if not prompts:
            raise SystemExit(f"{hop.name} passed no request on in {self.seconds} s")
        ours = wrk_cpu + stub_cpu + (0 if hop is self.stub else hop_cpu)
        return {"cpu_us": 1e6 * hop_cpu / prompts, "per_second": prompts / wall, "per_call": prompts / requests,
                "others": max(0, 1 - (ours + idle) / wall), "failed": load.failed, "resident_mib": memory}

    def measure_latency(self, hop, body, seconds, rate, connections):
        """Latencies in microseconds, (direct, through the hop); one of each in turn, at `rate` each, over the connections
        in turn, from when a request was due, so that one that waits for a slow one before it is late too."""
        head = f"POST {body.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {body.size}\r\n\r\n".encode() + body.data
        taken = ([], [])
        with contextlib.ExitStack() as stack:
            ends = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=hops.PATIENCE))
                    for _ in range(connections) for server in (self.stub, hop)]
            for end in ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stack.enter_context(self._undisturbed())
            pause, now = 5e8 / rate, time.perf_counter_ns
            start = now() + 10_000_000
            for number in range(int(2 * rate * seconds)):
                due, kind, end = start + int(number * pause), number % 2, ends[number % len(ends)]
                # A sleep ends late, by as much as is to be measured; the last of it is spent looking at the clock.
                time.sleep(max(0, due - 300_000 - now()) / 1e9)
                while now() < due:
                    pass
                end.sendall(request)
                answer = end.recv(65536)
                while not answer.endswith(b"}}"):
                    more = end.recv(65536)
                    if not more:
                        raise SystemExit(f"{hop.name} has closed the connection")
                    answer += more
                taken[kind].append((now() - due) / 1e3)
        return taken

    @contextlib.contextmanager
    def _undisturbed(self):
        """This process on the lab's core, without its garbage collector."""
        mine = os.sched_getaffinity(0)
        try:
            self.pin()
            gc.disable()
            yield
        finally:
            gc.enable()
            go_along()
            os.sched_setaffinity(0, mine)

    def rest(self):
        """For a hop to give back what it does not need."""
        time.sleep(2)

    def measure_idle(self, hop, body, counts):
        """Its memory in MiB with as many connections, each of which has made a request."""
        sizes, clients = {0: resident_mib(hop.pid)}, []
        for count in counts:
            while len(clients) < count:
                clients.append(Client(hop.port))
                if clients[-1].ask(body.path, body.data)[0] != 200:
                    raise SystemExit(f"{hop.name} refuses connection {len(clients)}")
            time.sleep(0.2)
            sizes[count] = resident_mib(hop.pid)
        for client in clients:
            client.close()
        return sizes
