"""Real vLLM servers on a CPU, in an environment of their own (scripts/python-tools --vllm)."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess

import pytest

from tests.support.asking import call, metrics
from tests.support.builds import ROOT
from tests.support.proxy import running_proxy
from tests.support.waiting import alive, wait_until

HERE = pathlib.Path(__file__).resolve().parent
BIN = ROOT / "build" / "vllm" / "bin"
MISSING = ROOT / "build" / "vllm-missing"  # says why this machine cannot have it
MODEL = "tiny"
# A tiny model on a few cores of whatever machine this is, without a model hub and without telling anybody.
ENVIRONMENT = {
    "VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
START = 300  # seconds; nearly all of it is spent on imports
# In float32 an answer does not depend on what else is computed in the same step.
SETTINGS = {"max_model_len": 8192, "max_num_seqs": 16, "enforce_eager": True, "dtype": "float32",
            "distributed_executor_backend": "uni"}


def require():
    """Ends the test that asks for what this machine cannot have."""
    if MISSING.exists():
        pytest.skip(MISSING.read_text().strip())
    assert BIN.exists(), "scripts/python-tools --vllm makes it"


def command(name, *args):
    """A program of vLLM's environment: its result, once it has ended well."""
    done = subprocess.run([BIN / name, *args], capture_output=True, text=True, timeout=START,
                          env={**os.environ, **ENVIRONMENT})
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def as_flags(settings):
    """Settings of vLLM as its command line has them."""
    for name, value in settings.items():
        yield "--" + name.replace("_", "-")
        if value is not True:
            yield str(value)


def child_named(pid, name):
    """The one child of a process that has this in its command line."""
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    [child] = [int(one) for one in listed if name in pathlib.Path(f"/proc/{one}/cmdline").read_bytes()]
    return child


class Engine:
    """A `vllm serve` that keeps its port while it is dead: `start()` brings it back at the same `url`."""

    def __init__(self, template, model, log, flags=(), environment=None):
        self._template, self._log = template, log
        self._reserve = socket.socket()  # bound and not listening: nobody else gets the port
        self._reserve.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserve.bind(("127.0.0.1", 0))
        port = self._reserve.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = [str(model), "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port),
                           *as_flags(SETTINGS), *flags]
        self._environment = environment or {}
        self.pid = None

    def start(self):
        self.pid = self._template.fork(self._arguments, self._environment, self._log)

    def ready(self):
        """Once it serves."""
        wait_until(lambda: self.answers() or not alive(self.pid), f"vLLM: see {self._log}", START)
        assert alive(self.pid), self.log()[-3000:]
        return self

    def answers(self):
        with contextlib.suppress(OSError):
            return call(self.url, "/health")[0].status == 200
        return False

    def core(self):
        """The pid of its engine core."""
        return child_named(self.pid, b"EngineCore")

    def worker(self):
        """The pid of the core's worker, which an engine with the executor `mp` has."""
        return child_named(self.core(), b"Worker")

    @property
    def log_file(self):
        return self._log

    def log(self):
        return self._log.read_text()

    def metric(self, name):
        """The sum of a metric over its labels."""
        return sum(value for key, value in metrics(self.url).items() if key.partition("{")[0] == name)

    def is_idle(self):
        return self.metric("vllm:num_requests_running") == self.metric("vllm:num_requests_waiting") == 0

    def wait_for_end(self):
        wait_until(lambda: not alive(self.pid), f"the end of vLLM: see {self._log}")

    def kill(self):
        """All of its processes, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait_for_end()

    def close(self):
        if self.pid:
            self.kill()
        self._reserve.close()


class Template:
    """template.py, from which engines are forked."""

    def __init__(self, cwd, model):
        self.cwd, self.model, self._count = cwd, model, 0
        self._process = subprocess.Popen(
            [BIN / "python", HERE / "template.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=open(cwd / "template.log", "w"), text=True, env={**os.environ, **ENVIRONMENT})
        assert self._answer() == "ready"

    def _answer(self):
        line = self._process.stdout.readline().strip()
        assert line, (self.cwd / "template.log").read_text()[-3000:]
        return line

    def fork(self, arguments, environment, log):
        """The pid of a new `vllm serve`."""
        order = {"arguments": arguments, "environment": environment, "log": str(log)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._answer())

    @contextlib.contextmanager
    def engine(self, *flags, environment=None):
        """A running engine of its own."""
        with self.engines(1, *flags, environment=environment) as [one]:
            yield one

    @contextlib.contextmanager
    def engines(self, count, *flags, environment=None):
        started = []
        try:
            for _ in range(count):
                self._count += 1
                log = self.cwd / f"engine-{self._count}.log"
                started.append(Engine(self, self.model, log, flags, environment))
                started[-1].start()
            yield [engine.ready() for engine in started]
        finally:
            for engine in started:
                engine.close()

    def close(self):
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def proxy_before(cwd, engines, **settings):
    """batchproxy in front of running engines, with these settings."""
    settings = {"health_interval": 0.2, "backends": [engine.url for engine in engines], **settings}
    (cwd / "before.yaml").write_text(json.dumps({"batchproxy": settings}))
    with running_proxy(cwd, "--config", "before.yaml") as proxy:
        yield proxy.ready(len(engines))


@contextlib.contextmanager
def launched(cwd, model):
    """A batchproxy that starts a vLLM itself, as it does on a machine with GPUs."""
    config = {"model": {"generator_settings": {
        "boot_local": True, "hf_model_id": str(model), "model": MODEL, "vllm_args": SETTINGS}},
        "batchproxy": {"health_interval": 0.2, "launcher": {"executable": str(BIN / "vllm")}}}
    (cwd / "vllm.yaml").write_text(json.dumps(config))
    with running_proxy(cwd, "--config", "vllm.yaml", "--gpus", "1", env=ENVIRONMENT) as proxy:
        wait_until(lambda: proxy.status()["backends"][0]["state"] == "ready",
                   f"vLLM: see {cwd / 'batchproxy_logs'}", START)
        yield proxy.ready(1)
