"""The one starter of batchproxy, and of its simulated engine: each on ports that the kernel chooses, stopped by pid."""
import contextlib
import json
import signal

from .asking import MODEL, call, metrics
from .builds import PROXY
from .program import Program
from .waiting import wait_until


class Proxy(Program):
    """A running batchproxy with its two addresses, `url` and `admin`. `args`: its flags, `--config FILE` among them;
    `program` another build of it; `prefix` what it is started by, such as a shell."""

    def __init__(self, args, cwd, env=None, prefix=(), program=PROXY, prepare=None):
        super().__init__([*prefix, program, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *args],
                         cwd, env, prepare)
        self.url = self.wait_for_line(r"listening +(https?://\S+)")[0][1]
        self.admin = self.wait_for_line(r"admin +(http://[^/]+)")[0][1]
        self.address = self.url.split("//")[1]
        self.port = int(self.address.rsplit(":", 1)[1])

    def engine_pids(self, count):
        """Of the engines' first starts in the order of their numbers, then of further ones as they came."""
        first, further = {}, []
        for match in self.wait_for_line(r"engine-(\d+): started, pid (\d+)", count):
            engine, pid = int(match[1]), int(match[2])
            if first.setdefault(engine, pid) != pid:
                further.append(pid)
        return [first[engine] for engine in sorted(first)] + further

    def ready(self, backends):
        wait_until(lambda: sum(b["state"] == "ready" for b in self.status()["backends"]) >= backends,
                   f"{backends} ready backends\n{self.output()}")
        # The I/O threads hear of it a moment after the control thread.
        wait_until(lambda: call(self.url, "/health")[0].status == 200, "GET /health")
        return self

    def status(self):
        return json.loads(call(self.admin, "/status")[1])

    def metrics(self):
        return metrics(self.admin)

    def assert_balanced(self):
        """The conservation law, once nothing moves any more."""
        def balanced():
            requests = self.status()["requests"]
            return (requests["queued"] == requests["inflight"] == 0
                    and requests["received"] == sum(requests["finished"].values()))
        wait_until(balanced, "received = finished")

    def assert_clean(self):
        """No sanitizer has said a word."""
        assert not [line for line in self.errors if "Sanitizer" in line or "runtime error" in line], self.output()


@contextlib.contextmanager
def running_proxy(cwd, *args, **how):
    """A batchproxy that is held to its conservation law, and stopped, at the end."""
    proxy = Proxy(args, cwd, **how)
    try:
        yield proxy
        proxy.assert_balanced()
    finally:
        proxy.stop()
    proxy.assert_clean()


class SimEngine(Program):
    """A simulated engine at twenty times its speed (`flags` may say otherwise), once it serves at `url`."""

    def __init__(self, cwd, *flags, env=None, program=PROXY):
        super().__init__([program, "sim-engine", MODEL, "--port", "0", "--sim-load-time", "0",
                          "--sim-time-scale", "0.05", *flags], cwd, env)
        self.url = self.wait_for_line(r"Starting vLLM server on (http://\S+)")[0][1]
        self.wait_for_line("Application startup complete")


@contextlib.contextmanager
def running_sim(cwd, *flags, **how):
    engine = SimEngine(cwd, *flags, **how)
    try:
        yield engine
    finally:
        engine.stop(signal.SIGTERM)


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
