"""The servers of these tests: batchproxy, the simulated engine and llama.cpp's, each on a free port
and stopped by pid."""
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
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


# --- a real vLLM, in an environment of its own ----------------------------------------------------

VLLM_BIN = ROOT / "build" / "vllm" / "bin"
VLLM_MODEL = "tiny"
# A tiny model on a few cores of whatever machine this is, without a model hub and without telling anybody.
VLLM_ENVIRONMENT = {
    "VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
VLLM_START = 300  # seconds; nearly all of it is spent on imports


def vllm_command(name, *args):
    """A program of vLLM's environment: its result, once it has ended well."""
    done = subprocess.run([VLLM_BIN / name, *args], capture_output=True, text=True, timeout=VLLM_START,
                          env={**os.environ, **VLLM_ENVIRONMENT})
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@contextlib.contextmanager
def proxy_with_vllm(cwd, model):
    """A batchproxy that starts a vLLM itself, as it does on a machine with GPUs."""
    config = {"model": {"generator_settings": {
        "boot_local": True, "hf_model_id": str(model), "model": VLLM_MODEL,
        "vllm_args": {"max_model_len": 8192, "max_num_seqs": 16, "enforce_eager": True, "dtype": "float32",
                      "distributed_executor_backend": "uni"}}},
        "batchproxy": {"health_interval": 0.2, "launcher": {"executable": str(VLLM_BIN / "vllm")}}}
    (cwd / "vllm.yaml").write_text(json.dumps(config))
    with running_proxy(cwd, "--config", "vllm.yaml", "--gpus", "1", env=VLLM_ENVIRONMENT) as proxy:
        wait_until(lambda: proxy.status()["backends"][0]["state"] == "ready",
                   f"vLLM: see {cwd / 'batchproxy_logs'}", VLLM_START)
        yield proxy.ready(1)
