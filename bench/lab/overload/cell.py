"""One cell: engines with a few slots each, and a proxy before them, all of them programs of their own."""
import contextlib
import json
import pathlib
import tempfile

from tests.support.asking import call, metrics
from tests.support.engine_process import running_engines
from tests.support.failing_engine import MODEL
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

SLOTS, SERVICE = 8, 0.25  # of an engine; seconds that an answer takes
CAPACITY = SLOTS / SERVICE  # answers a second
STEPS = f'vllm:iteration_tokens_total_count{{model_name="{MODEL}"}}'


@contextlib.contextmanager
def cell(binary, count, known, **keys):
    """A proxy with `keys` of `batchproxy:` before `count` engines, each of which has answered."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Without /openapi.json they cannot tell each prompt's tokens in a list, so no requests share a call.
        engines = stack.enter_context(running_engines(count, folder, latency=SERVICE, slots=SLOTS,
                                                      without=["/openapi.json"]))
        told = {"max_num_seqs": SLOTS} if known else {}
        config = folder / "proxy.yaml"
        config.write_text(json.dumps({"batchproxy": {**keys, "backends": [{"url": engine.url, **told}
                                                                          for engine in engines]}}))
        proxy = Proxy(["--config", config], folder, program=binary)
        stack.callback(proxy.kill)
        wait_until(lambda: answers(proxy) and all(metrics(engine.url)[STEPS] for engine in engines),
                   "an answer of each engine")
        yield proxy


def answers(proxy):
    return call(proxy.url, "/v1/completions", {"model": MODEL, "prompt": "x", "max_tokens": 1})[0].status == 200
