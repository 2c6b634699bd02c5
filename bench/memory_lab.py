# bench/memory_lab.py - what the measurements of batchproxy's memory share: a proxy before a simulated
# engine, both started afresh, and HTTP clients that cost next to nothing themselves.
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

MODEL = "meta-llama/Llama-2-7b-chat-hf"


def need_descriptors(count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < count:
        raise SystemExit(f"needs {count} file descriptors; the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Client:
    """A connection to the proxy; a request at a time."""

    def __init__(self, address):
        self._socket = socket.create_connection(address, timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._spare = b""

    def send(self, path, body=None):
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: x\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(head.encode() + b"\r\n" + (body or b""))

    def read_answer(self):
        data = self._spare
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(body) < length:
            body += self._receive()
        self._spare = body[length:]
        return int(head[9:12]), body[:length]

    def ask(self, path, body=None):
        self.send(path, body)
        return self.read_answer()

    def close(self):
        self._socket.close()

    def _receive(self):
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the proxy has closed the connection")
        return data


class Load:
    """Workers that ask one question after the other; their latencies in milliseconds."""

    def __init__(self, address, workers, body):
        self._stopped, self._latencies, self._failed = False, [], 0
        self._threads = [threading.Thread(target=self._work, args=(address, body)) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def _work(self, address, body):
        client = Client(address)
        while not self._stopped:
            start = time.perf_counter()
            if client.ask("/v1/completions", body)[0] != 200:
                self._failed += 1
            self._latencies.append(1e3 * (time.perf_counter() - start))
        client.close()

    def latencies_over(self, seconds):
        self._latencies.clear()
        time.sleep(seconds)
        taken = list(self._latencies)
        return f"{len(taken)} answers, p50 {statistics.median(taken):.1f} ms, p99 {percentile(taken, 99):.1f} ms"

    def stop(self):
        self._stopped = True
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise SystemExit(f"{self._failed} questions of the load were not answered with 200")


class Lab:
    """A simulated engine and a proxy with `settings` (keys of `batchproxy:`), until the `with` block ends."""

    def __init__(self, build, **settings):
        self._program = pathlib.Path(build).resolve() / "proxy" / "batchproxy"
        self._settings = settings

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory()
        self._work = pathlib.Path(self._directory.name)
        self._programs = []
        try:
            self.engine, [url] = self._start(["sim-engine", MODEL, "--port", "0", "--sim-load-time", "0"],
                                             r"Starting vLLM server on (http://\S+)")
            config = self._work / "lab.yaml"
            keys = "".join(f"  {key}: {value}\n" for key, value in self._settings.items())
            config.write_text(f"batchproxy:\n  listen: 127.0.0.1:0\n  admin: 127.0.0.1:0\n{keys}")
            self.proxy, [address, self._admin] = self._start(
                ["--config", config, "--backend", url], r"listening +http://(\S+)\n +admin +(http://[^/]+)")
            host, port = address.rsplit(":", 1)
            self.address = host, int(port)
            probe = Client(self.address)
            while MODEL.encode() not in probe.ask("/v1/models")[1]:
                time.sleep(0.05)
            probe.close()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for program in reversed(self._programs):
            program.kill()
            program.wait()
        self._directory.cleanup()

    def _start(self, args, pattern):
        said = self._work / f"out{len(self._programs)}"
        with said.open("w") as out:
            program = subprocess.Popen([self._program, *args], cwd=self._work, stdout=out, stderr=subprocess.STDOUT)
        self._programs.append(program)
        while program.poll() is None:
            if found := re.search(pattern, said.read_text()):
                return program, found.groups()
            time.sleep(0.05)
        raise SystemExit(f"{args[0]} ended: {said.read_text()}")

    def stop_engine(self):
        self.engine.terminate()
        self.engine.wait()

    def resident(self):
        """Of the proxy, in bytes."""
        status = pathlib.Path(f"/proc/{self.proxy.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def metric(self, name):
        text = urllib.request.urlopen(self._admin + "/metrics", timeout=60).read().decode()
        return float(re.search(rf"^{name} (\S+)", text, re.MULTILINE)[1])

    def await_metric(self, name, value):
        while self.metric(name) != value:
            time.sleep(0.1)

    def connect(self, count):
        """Clients that have made a request and rest."""
        clients = []
        for _ in range(count):
            clients.append(Client(self.address))
            clients[-1].ask("/v1/models")
        return clients
