"""What stands in a measurement: simulated engines with a proxy before them, and the little programs of bench/.

All is started afresh, on ports that the kernel chooses, and is gone when the `with` block ends."""
import contextlib
import json
import pathlib
import tempfile

from tests.support.asking import MODEL, call
from tests.support.program import Program
from tests.support.proxy import Proxy, running_sim
from tests.support.waiting import wait_until

PATIENCE = 600  # seconds, for real time to pass


@contextlib.contextmanager
def pairs(build, enable_batching=None, vllm_args=(), launcher=(), **keys):
    """A proxy with four simulated A100 pairs of its own, and so with empty caches. `keys` of `batchproxy:`, `launcher`
    its section, `vllm_args` the engines' (`sim-*` flags too). It has `engine`, the URL of one of them."""
    settings = {"boot_local": True, "hf_model_id": MODEL,
                "vllm_args": {"tensor_parallel_size": 2, "max_model_len": 4096, "max_num_batched_tokens": 2048,
                              "max_num_seqs": 256, **dict(vllm_args)}}
    if enable_batching is not None:
        settings["enable_batching"] = enable_batching
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        launched = {"engine": "sim", "servers": 4, "stagger": 0, "log_directory": f"{folder}/logs", **dict(launcher)}
        config = folder / "lab.yaml"
        config.write_text(json.dumps({"model": {"generator_settings": settings},  # which is YAML too
                                      "batchproxy": {**keys, "launcher": launched}}))
        proxy = Proxy(["--config", config], folder, program=build.proxy)
        try:
            proxy.wait_for_line(r"\bready: ", deadline=PATIENCE)
            proxy.engine = proxy.wait_for_line(r"^ *engine-0 +(http\S*)")[0][1]
            yield proxy
        finally:
            proxy.stop()


@contextlib.contextmanager
def one_engine(build, **keys):
    """A proxy before a simulated engine, `engine`, in real time; `keys` of `batchproxy:`."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with running_sim(folder, "--sim-time-scale", "1", program=build.proxy) as engine:
            config = folder / "lab.yaml"
            config.write_text(json.dumps({"batchproxy": keys}))
            proxy = Proxy(["--config", config, "--backend", engine.url], folder, program=build.proxy)
            try:
                proxy.engine = engine
                wait_until(lambda: MODEL.encode() in call(proxy.url, "/v1/models")[1], "the engine's model")
                yield proxy
            finally:
                proxy.kill()


class LittleServer(Program):
    """A program of bench/ that prints where it listens: `ports`, and `port`, the first of them."""

    def __init__(self, program, argument, folder, ports=1, prepare=None):
        super().__init__([program, argument], folder, prepare=prepare)
        found = self.wait_for_line(r"listening on 127\.0\.0\.1:(\d+)$", ports)
        self.ports = [int(match[1]) for match in found]
        self.port = self.ports[0]


def stub_engine(build, folder, ports=1, prepare=None):
    """An engine that costs next to nothing, as many as there are ports."""
    return LittleServer(build.stub_engine, ports, folder, ports, prepare)


def copy_hop(build, folder, port, prepare=None):
    """A hop before that port which copies bytes and parses nothing."""
    return LittleServer(build.copy_hop, port, folder, prepare=prepare)
