"""The servers of these tests: batchproxy, the simulated engine and llama.cpp's, each on a free port
and stopped by pid."""
import contextlib
import dataclasses
import json
import pathlib
import signal
import sys

from tests.support.asking import MODEL, call
from tests.support.builds import ROOT
from tests.support.program import Program
from tests.support.proxy import running_proxy, running_sim as running_simulated
from tests.support.waiting import wait_until

HERE = pathlib.Path(__file__).resolve().parent
SIM_MODEL = MODEL
LLAMA_MODEL = "tiny"
LLAMA_SERVER = [sys.executable, HERE / "llama_server.py"]


@dataclasses.dataclass(frozen=True)
class Pair:
    """One engine and the two ways to it."""
    direct: str
    proxied: str
    model: str


@contextlib.contextmanager
def running_llama(cwd, model_file, *flags):
    engine = Program([*LLAMA_SERVER, "--model", model_file, "--served-model-name", LLAMA_MODEL, *flags], cwd)
    try:
        engine.url = engine.wait_for_line(r"serving on (http://\S+)")[0][1]
        yield engine
    finally:
        engine.stop(signal.SIGTERM)


def running_sim(cwd, *flags):
    """A simulated engine at fifty times its speed."""
    return running_simulated(cwd, "--sim-time-scale", "0.02", *flags)


@contextlib.contextmanager
def proxy_before(cwd, *urls):
    """batchproxy in front of servers that run."""
    flags = [flag for url in urls for flag in ("--backend", url)]
    (cwd / "batchproxy.yaml").write_text("batchproxy: {health_interval: 0.2}\n")
    with running_proxy(cwd, "--config", "batchproxy.yaml", *flags) as proxy:
        yield proxy.ready(len(urls))


def metric(url, name):
    """The sum of a metric over its labels, from an engine's /metrics."""
    lines = call(url, "/metrics")[1].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((name + " ", name + "{")))


def launcher_config(model_file, servers, **launcher):
    """A configuration by which batchproxy starts llama.cpp servers itself."""
    command = [*map(str, LLAMA_SERVER), "--model", "{model}", "--served-model-name", LLAMA_MODEL,
               "--host", "{host}", "--port", "{port}"]
    return json.dumps({  # JSON is YAML
        "model": {"generator_settings": {
            "boot_local": True, "hf_model_id": str(model_file), "model": LLAMA_MODEL,
            "vllm_args": {"max_num_seqs": 1}}},
        "batchproxy": {"health_interval": 0.2,
                       "launcher": {"engine": "command", "command": command, "servers": servers,
                                    "stagger": 0, **launcher}}})
