"""A real vLLM that cannot start as it is asked to, started by batchproxy: nobody looks, and it comes up, or says why not."""
import json
import os
import pathlib
import re
import shutil

import pytest

from tests.support.asking import complete
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

from .engines import BIN, ENVIRONMENT, MODEL, SETTINGS, START

pytestmark = pytest.mark.full("vllm")


@pytest.fixture
def launch(vllm_model, tmp_path):
    """`launch(change)`: batchproxy with `profile: cpu` and a copy of the model that `change` has been at."""
    started = []

    def start(change):
        model = pathlib.Path(shutil.copytree(vllm_model, tmp_path / "model"))
        change(model)
        arguments = {name: value for name, value in SETTINGS.items() if name != "max_model_len"}
        config = {"model": {"generator_settings": {
            "boot_local": True, "hf_model_id": str(model), "model": MODEL, "vllm_args": arguments}},
            "batchproxy": {"health_interval": 0.2, "launcher": {"executable": str(BIN / "vllm"), "profile": "cpu"}}}
        (tmp_path / "c.yaml").write_text(json.dumps(config))
        started.append(Proxy(["--config", "c.yaml"], tmp_path,
                             env={**ENVIRONMENT, "XDG_STATE_HOME": str(tmp_path / "state")}))
        return started[0]

    yield start
    for proxy in started:
        proxy.stop()
        proxy.assert_clean()


def test_a_context_that_does_not_fit_is_shortened(launch):
    """A GiB of KV cache holds half a million tokens of this model, and the model was made for four."""
    def stretch(model):
        path = model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "max_position_embeddings": 4_000_000}))

    proxy = launch(stretch)
    wait_until(lambda: proxy.status()["backends"][0]["state"] == "ready", "vLLM, once repaired", 2 * START)
    told = "\n".join(proxy.errors)
    assert told.count("did not start") == 1 and "cause: The KV cache cannot hold" in told, told
    shortened = int(re.search(r"repair: max_model_len \S*-> (\d+)", told)[1])
    assert 500_000 < shortened <= 524_288, told
    assert str(shortened) in proxy.status()["backends"][0]["repairs"][0]
    answer, body = complete(proxy.url, "x", model=MODEL)
    assert answer.status == 200, body


def test_a_start_that_nothing_can_mend_is_told_by_its_cause(launch):
    def cut(model):
        [weights] = model.glob("*.safetensors")
        os.truncate(weights, weights.stat().st_size // 2)

    proxy = launch(cut)
    wait_until(lambda: any("no engine has started" in line for line in proxy.errors), "it to give up", START)
    assert proxy.wait() == 4
    told = "\n".join(proxy.errors)
    assert "cause: A file of weights is cut off" in told and told.count("did not start") == 1, told
