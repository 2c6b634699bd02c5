"""Starts the real programs for the tests: every server on port 0, stopped by pid, no sleeps that hope.

BATCHPROXY_BUILD names the build folder to test (default: build/release)."""
import contextlib
import http.client
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BATCHPROXY_BUILD", ROOT / "build" / "release")).resolve()
PROXY = BUILD / "proxy" / "batchproxy"
BENCH = BUILD / "bench" / "batchproxy-bench"
DEADLINE = float(os.environ.get("BATCHPROXY_TEST_DEADLINE", "60"))  # seconds, for anything to happen
MODEL = "meta-llama/Llama-2-7b-chat-hf"


def wait_until(condition, what, deadline=None):
    """Polls `condition` until it is true; fails with `what` after the deadline."""
    end = time.monotonic() + (deadline or DEADLINE)
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"timed out: {what}")


def assert_never(condition, seconds, what):
    """Fails with `what` if `condition` comes true within `seconds`."""
    end = time.monotonic() + seconds
    with contextlib.suppress(AssertionError):
        wait_until(condition, what, seconds)
    assert time.monotonic() >= end, what


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Program:
    """A running program whose output is read line by line."""

    def __init__(self, args, cwd, env=None):
        self.lines, self.errors = [], []
        self._queue = queue.Queue()
        self.process = subprocess.Popen(
            [str(arg) for arg in args], cwd=cwd, env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True)]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, into):
        for line in stream:
            into.append(line.rstrip("\n"))

    def wait_for_line(self, pattern, count=1, deadline=None):
        """The matches of `pattern` once `count` lines on stdout match it."""
        def look():
            found = [m for m in (re.search(pattern, line) for line in list(self.lines)) if m]
            if len(found) >= count:
                return found
            if self.process.poll() is not None and not any(r.is_alive() for r in self._readers):
                raise AssertionError(f"ended without {pattern!r}:\n{self.output()}")
            return None
        return wait_until(look, f"{pattern!r} in\n{self.output()}", deadline)

    def output(self):
        return "\n".join(["--- stdout", *self.lines, "--- stderr", *self.errors])

    def stop(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self):
        try:
            code = self.process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end:\n{self.output()}")
        for reader in self._readers:
            reader.join()
        return code


class Proxy(Program):
    """A running batchproxy with its two addresses."""

    def __init__(self, args, cwd, env=None, prefix=()):
        super().__init__([*prefix, PROXY, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *args], cwd, env)
        self.url = self.wait_for_line(r"listening +(http://\S+)")[0][1]
        self.admin = self.wait_for_line(r"admin +(http://[^/]+)")[0][1]
        self.address = self.url.removeprefix("http://")

    def engine_pids(self, count):
        return [int(m[1]) for m in self.wait_for_line(r"engine-\d+: started, pid (\d+)", count)]

    def ready(self, backends):
        wait_until(lambda: sum(b["state"] == "ready" for b in self.status()["backends"]) >= backends,
                   f"{backends} ready backends\n{self.output()}")
        # The I/O threads hear of it a moment after the control thread.
        wait_until(lambda: call(self.url, "/health")[0].status == 200, "GET /health")
        return self

    def status(self):
        return json.loads(call(self.admin, "/status")[1])

    def assert_balanced(self):
        """The conservation law, once nothing moves any more."""
        def balanced():
            requests = self.status()["requests"]
            return (requests["queued"] == requests["inflight"] == 0
                    and requests["received"] == sum(requests["finished"].values()))
        wait_until(balanced, "received = finished")


def call(url, path, body=None, headers=None, method=None):
    """One request on a connection of its own: the response, and its body."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE)
    with contextlib.closing(connection):
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method or ("GET" if body is None else "POST"), path, data,
                           {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response, response.read()


def complete(url, prompt, **fields):
    """One completion: the response and its JSON."""
    body = {"model": MODEL, "prompt": prompt, "max_tokens": 4, **fields}
    response, text = call(url, "/v1/completions", body)
    return response, json.loads(text)


@pytest.fixture
def start_proxy(tmp_path):
    """start_proxy(*flags, env=None, prefix=()): a proxy that is stopped, and held to its law, at the end."""
    started = []

    def start(*args, env=None, prefix=()):
        proxy = Proxy(args, tmp_path, env, prefix)
        started.append(proxy)
        return proxy

    yield start
    for proxy in started:
        if proxy.process.poll() is None:
            try:
                proxy.assert_balanced()
            finally:
                proxy.stop()
        sanitizer = [line for line in proxy.errors if "Sanitizer" in line or "runtime error" in line]
        assert not sanitizer, proxy.output()


@pytest.fixture
def start_engine(tmp_path):
    """start_engine(*flags, env=None): a simulated engine and its URL."""
    started = []

    def start(*flags, env=None):
        engine = Program([PROXY, "sim-engine", MODEL, "--port", "0", "--sim-load-time", "0",
                          "--sim-time-scale", "0.05", *flags], tmp_path, env)
        started.append(engine)
        engine.url = engine.wait_for_line(r"Starting vLLM server on (http://\S+)")[0][1]
        engine.wait_for_line("Application startup complete")
        return engine

    yield start
    for engine in started:
        engine.stop(signal.SIGTERM)


@pytest.fixture
def served(start_proxy, start_engine):
    """A proxy in front of one simulated engine, `served.engine`."""
    engine = start_engine()
    proxy = start_proxy("--backend", engine.url).ready(1)
    proxy.engine = engine
    return proxy


def write_config(path, servers=4, **launcher):
    """A configuration of simulated 2-GPU engines that run at twenty times their speed."""
    settings = {"engine": "sim", "servers": servers, "sim_time_scale": 0.05, "stagger": 0, **launcher}
    text = f"""\
model:
  generator_settings:
    boot_local: true
    hf_model_id: {MODEL}
    vllm_args: {{tensor_parallel_size: 2, max_model_len: 8192, max_num_seqs: 64}}
batchproxy:
  health_interval: 0.2
  launcher: {json.dumps(settings)}
"""
    path.write_text(text)
    return path
