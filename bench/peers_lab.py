# bench/peers_lab.py - what bench/peers measures and how: hops before a stub of an engine, each started afresh on one
# core, load from wrk on the same core, and what all of them have cost.
import contextlib
import gc
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

from memory_lab import Client

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 30  # seconds, for a program to start or a load to build up
LATENCY_RATE = 200  # requests a second, to the hop and as many directly
TICK = 1 / os.sysconf("SC_CLK_TCK")

HAPROXY = """
global
    nbthread 1
    maxconn {connections}
    # Without this it does not start where maxconn may need more descriptors than there are; it shares connections to
    # the server, so it needs fewer.
    no strict-limits
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
frontend clients
    bind 127.0.0.1:{port}
    default_backend engine
backend engine
    server stub 127.0.0.1:{stub}
"""

# One process, as HAProxy is one; nothing is written to files, also of large bodies; streams come as they are made.
NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.log crit;
events {{ worker_connections {sockets}; }}
http {{
    access_log off;
    client_body_temp_path {work}/client;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    upstream engine {{
        server 127.0.0.1:{stub};
        keepalive {connections};
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
        client_max_body_size 0;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""

# What stands in batchproxy's file beside one I/O thread; the others have one too.
BATCHPROXY = {"plain": {"enable_batching": False, "batchproxy": {}},
              "default": {"batchproxy": {}},
              "merged": {"batchproxy": {"merge": "always"}}}

WORDS = " ".join(f"word{i * i % 9973}" for i in range(120000))


class Body:
    """A request's path and body, `size` bytes long."""

    def __init__(self, name, size, chat=True, **more):
        self.name, self.size = name, size
        self.path = "/v1/chat/completions" if chat else "/v1/completions"

        def make(text):
            content = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
            return json.dumps({"model": "stub", **content, "temperature": 0, **more}).encode()

        self.data = make(WORDS[:size - len(make(""))])
        assert len(self.data) == size
        self.streamed = more.get("stream", False)


def family(pid):
    """`pid` and all that descend from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(ValueError, OSError):
            child = int(entry)
            parents[child] = int(pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:  # which grows
        found += [child for child, parent in parents.items() if parent == each]
    return found


def cpu_seconds(pid):
    """User and system time of a process and its descendants, to the microsecond where the kernel tells."""
    total = 0.0
    for each in family(pid):
        try:
            total += sum(int(task.joinpath("schedstat").read_text().split()[0]) / 1e9
                         for task in pathlib.Path(f"/proc/{each}/task").iterdir())
        except OSError:  # a kernel without schedstat
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += TICK * (int(fields[11]) + int(fields[12]))
    return total


def resident_mib(pid):
    return sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{each}/status").read_text())[1])
               for each in family(pid)) / 1024


def idle_seconds(core):
    """Of a core, with what a hypervisor took from it."""
    fields = re.search(rf"^cpu{core} (.*)$", pathlib.Path("/proc/stat").read_text(), re.MULTILINE)[1].split()
    return TICK * (int(fields[3]) + int(fields[4]))


def established(port):
    """How many connections a server on loopback has."""
    sockets = pathlib.Path("/proc/net/tcp").read_text()
    return len(re.findall(rf"^ *\d+: 0100007F:{port:04X} \S+ 01 ", sockets, re.MULTILINE))


def free_port():
    """One that the kernel gives; somebody else may take it before it is used, and then a program says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def go_first():
    """Has this process and its children run before all others, where that is allowed; says whether it is."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        return True
    return False


def go_along():
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Server:
    """A running program and where it listens; its output is kept for when it fails."""

    def __init__(self, lab, name, command):
        self._said = lab.work / f"{name}.out"
        with self._said.open("w") as out:
            self._process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT,
                                             cwd=lab.work, preexec_fn=lab.pin)
        self.name, self.pid, self.ports = name, self._process.pid, []

    def said(self):
        return self._said.read_text()

    @property
    def address(self):
        return "127.0.0.1", self.ports[0]

    def await_said(self, pattern, count=1):
        """`count` matches of `pattern` in its output."""
        return self.wait_for(lambda: len(found := re.findall(pattern, self.said())) >= count and found)

    def wait_for(self, look):
        end = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            if found := look():
                return found
            time.sleep(0.01)
        raise SystemExit(f"{self.name} did not start within {PATIENCE} s, or ended:\n{self.said()}")

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=1):
            return True

    def stop(self):
        self._process.kill()
        self._process.wait()


class Load:
    """wrk, until the `with` block ends; the block begins when all its connections are there."""

    def __init__(self, lab, server, body, connections):
        self._lab, self._server, self._connections = lab, server, connections
        file = lab.work / "body.json"
        file.write_bytes(body.data)
        url = f"http://127.0.0.1:{server.ports[0]}"
        # The time is a bound, should we not live to end it.
        self._command = ["wrk", "-t1", f"-c{connections}", "-d150s", "--timeout", "60s", "-s", HERE / "post.lua", url,
                         "--", body.path, file]
        self.failed = 0

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                         preexec_fn=self._lab.pin)
        self.pid = self._process.pid
        try:
            end = time.monotonic() + PATIENCE
            while established(self._server.ports[0]) < self._connections:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise SystemExit(f"{self._connections} connections of wrk to {self._server.name} were not there "
                                     f"within {PATIENCE} s")
                time.sleep(0.05)
            time.sleep(min(0.5, self._lab.seconds) + self._connections / 10_000)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGINT)
        try:
            said, _ = self._process.communicate(timeout=PATIENCE)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        for pattern in (r"Non-2xx or 3xx responses: (\d+)", r"connect (\d+)", r"read (\d+)", r"write (\d+)",
                        r"timeout (\d+)"):
            self.failed += sum(map(int, re.findall(pattern, said)))


class Lab:
    """Starts a stub and hops before it on one core; all stop when the `with` block ends."""

    def __init__(self, build, core, seconds, connections, first=False):
        """`seconds` a measurement takes; `connections`: the most that there will be; `first`: before other programs
        (not for a load that takes the whole core)."""
        self.build, self.core, self.seconds, self._connections, self._first = build, core, seconds, connections, first

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory()
        self.work = pathlib.Path(self._directory.name)
        self._servers = []
        return self

    def __exit__(self, kind, error, trace):
        for server in reversed(self._servers):
            server.stop()
        said = "".join(f"\n{server.name}: {server.said()}" for server in self._servers)
        self._directory.cleanup()
        if isinstance(error, OSError):  # a connection, mostly: why is in what its other end has said
            raise SystemExit(f"{error!r}; the programs said:{said}")

    def pin(self):
        os.sched_setaffinity(0, {self.core})
        if self._first:
            go_first()

    def _start(self, name, *command):
        self._servers.append(Server(self, name, command))
        return self._servers[-1]

    def start_stub(self, ports=1):
        self.stub = self._start("stub", self.build / "bench" / "stub_engine", ports)
        self.stub.ports = [int(port) for port in self.stub.await_said(r"listening on 127.0.0.1:(\d+)\n", ports)]
        self._asking = Client(self.stub.address)
        return self.stub

    def start(self, name):
        """A hop, by its name in bench/peers, before the stub."""
        if name == "direct":
            return self.stub
        if name.startswith("batchproxy"):
            return self._start_batchproxy(name)
        if name == "copy":
            hop = self._start(name, self.build / "bench" / "copy_hop", self.stub.ports[0])
            hop.ports = [int(hop.await_said(r"listening on 127.0.0.1:(\d+)\n")[0])]
            return hop
        template, program, *flags = {"haproxy": (HAPROXY, "haproxy", "-db", "-f"),
                                     "nginx": (NGINX, "nginx", "-p", self.work, "-c")}[name]
        port, config = free_port(), self.work / f"{name}.conf"
        config.write_text(template.format(port=port, stub=self.stub.ports[0], work=self.work,
                                          connections=self._connections + 200, sockets=2 * self._connections + 1000))
        hop = self._start(name, program, *flags, config)
        hop.ports = [port]
        hop.wait_for(hop.listens)
        return hop

    def _start_batchproxy(self, name):
        settings = {**BATCHPROXY[name.removeprefix("batchproxy-")]}
        settings["batchproxy"] = {**settings["batchproxy"], "io_threads": 1, "listen": "127.0.0.1:0",
                                  "admin": "127.0.0.1:0",
                                  "backends": [{"url": f"http://127.0.0.1:{port}"} for port in self.stub.ports]}
        config = self.work / "batchproxy.yaml"
        config.write_text(json.dumps(settings))  # which is YAML too
        hop = self._start(name, self.build / "proxy" / "batchproxy", "--config", config)
        [(port, admin)] = hop.await_said(r"listening +http://127.0.0.1:(\d+)\n +admin +http://127.0.0.1:(\d+)/")
        hop.ports = [int(port)]
        asking = Client(("127.0.0.1", int(admin)))
        hop.wait_for(lambda: all(backend["state"] == "ready"
                                 for backend in json.loads(asking.ask("/status")[1])["backends"]))
        asking.close()
        return hop

    def check(self, hop, body):
        """One answer through the hop, which must be the stub's."""
        answers = []
        for server in (self.stub, hop):
            connection = http.client.HTTPConnection(*server.address, timeout=PATIENCE)
            connection.request("POST", body.path, body.data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answers.append((answer.status, answer.read()))
            connection.close()
        if answers[0] != answers[1] or answers[0][0] != 200:
            raise SystemExit(f"{hop.name} answers {body.name} with {answers[1]}; the stub does with {answers[0]}")

    def _costs(self, hop, load):
        """CPU seconds of hop, stub and wrk; requests and prompts at the stub; the core's idle time; the time."""
        cpu = [cpu_seconds(server.pid) for server in (hop, self.stub, load)]
        stats = json.loads(self._asking.ask("/stats")[1])
        return [*cpu, stats["requests"], stats["prompts"], idle_seconds(self.core), time.monotonic()]

    def measure_load(self, hop, body, connections):
        """What a request costs the hop; requests are counted where they arrive, by their prompts."""
        with Load(self, hop, body, connections) as load:
            before = self._costs(hop, load)
            time.sleep(self.seconds)
            after = self._costs(hop, load)
            resident = resident_mib(hop.pid)
        hop_cpu, stub_cpu, wrk_cpu, requests, prompts, idle, wall = [b - a for a, b in zip(before, after)]
        if not prompts:
            raise SystemExit(f"{hop.name} passed no request on in {self.seconds} s")
        ours = wrk_cpu + stub_cpu + (0 if hop is self.stub else hop_cpu)
        return {"cpu_us": 1e6 * hop_cpu / prompts, "per_second": prompts / wall, "per_call": prompts / requests,
                "others": max(0, 1 - (ours + idle) / wall), "failed": load.failed, "resident_mib": resident}

    def measure_latency(self, hop, body, seconds):
        """Latencies in microseconds, (direct, through the hop); one of each in turn, at a fixed rate, from when a
        request was due, so that one that waits for a slow one before it is late too."""
        head = f"POST {body.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {body.size}\r\n\r\n".encode() + body.data
        mine = os.sched_getaffinity(0)
        taken = ([], [])
        with contextlib.ExitStack() as stack:
            ends = [stack.enter_context(socket.create_connection(server.address, timeout=PATIENCE))
                    for server in (self.stub, hop)]
            for end in ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stack.callback(os.sched_setaffinity, 0, mine)
            stack.callback(go_along)
            self.pin()
            stack.callback(gc.enable)
            gc.disable()
            pause, now = 5e8 / LATENCY_RATE, time.perf_counter_ns
            start = now() + 10_000_000
            for number in range(int(2 * LATENCY_RATE * seconds)):
                due, kind = start + int(number * pause), number % 2
                # A sleep ends late, by as much as is to be measured; the last of it is spent looking at the clock.
                time.sleep(max(0, due - 300_000 - now()) / 1e9)
                while now() < due:
                    pass
                ends[kind].sendall(request)
                answer = ends[kind].recv(65536)
                while not answer.endswith(b"}}"):
                    more = ends[kind].recv(65536)
                    if not more:
                        raise SystemExit(f"{hop.name} has closed the connection")
                    answer += more
                taken[kind].append((now() - due) / 1e3)
        return taken

    def rest(self):
        """For a hop to give back what it does not need."""
        time.sleep(2)

    def measure_idle(self, hop, body, counts):
        """Its memory in MiB with as many connections, each of which has made a request."""
        sizes, clients = {0: resident_mib(hop.pid)}, []
        for count in counts:
            while len(clients) < count:
                clients.append(Client(hop.address))
                if clients[-1].ask(body.path, body.data)[0] != 200:
                    raise SystemExit(f"{hop.name} refuses connection {len(clients)}")
            time.sleep(0.2)
            sizes[count] = resident_mib(hop.pid)
        for client in clients:
            client.close()
        return sizes
