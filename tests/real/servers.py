"""The servers of these tests: batchproxy, the simulated engine and llama.cpp's, each on a free port
and stopped by pid."""
import contextlib
import dataclasses
import importlib.util
import json
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
INTEGRATION = HERE.parent / "integration"


def _load(name, path):
    """A module of the integration tests: they are no package, and both folders have a conftest."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


programs = _load("programs", INTEGRATION / "conftest.py")
scripted_backend = _load("scripted_backend", INTEGRATION / "scripted_backend.py")
ScriptedBackend, answer = scripted_backend.ScriptedBackend, scripted_backend.answer
ROOT, PROXY, DEADLINE = programs.ROOT, programs.PROXY, programs.DEADLINE
call, wait_until = programs.call, programs.wait_until
SIM_MODEL = programs.MODEL
LLAMA_MODEL = "tiny"
LLAMA_SERVER = [sys.executable, HERE / "llama_server.py"]


@dataclasses.dataclass(frozen=True)
class Pair:
    """One engine and the two ways to it."""
    direct: str
    proxied: str
    model: str


@contextlib.contextmanager
def running_proxy(cwd, *args):
    """A batchproxy that is held to its conservation law, and stopped, at the end."""
    proxy = programs.Proxy(args, cwd)
    try:
        yield proxy
        proxy.assert_balanced()
    finally:
        proxy.stop()
    assert not [line for line in proxy.errors if "Sanitizer" in line or "runtime error" in line], proxy.output()


@contextlib.contextmanager
def running_llama(cwd, model_file, *flags):
    engine = programs.Program([*LLAMA_SERVER, "--model", model_file, "--served-model-name", LLAMA_MODEL, *flags], cwd)
    try:
        engine.url = engine.wait_for_line(r"serving on (http://\S+)")[0][1]
        yield engine
    finally:
        engine.stop(signal.SIGTERM)


@contextlib.contextmanager
def running_sim(cwd, *flags):
    """A simulated engine at fifty times its speed."""
    engine = programs.Program([PROXY, "sim-engine", SIM_MODEL, "--port", "0", "--sim-load-time", "0",
                               "--sim-time-scale", "0.02", *flags], cwd)
    try:
        engine.url = engine.wait_for_line(r"Starting vLLM server on (http://\S+)")[0][1]
        engine.wait_for_line("Application startup complete")
        yield engine
    finally:
        engine.stop(signal.SIGTERM)


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
