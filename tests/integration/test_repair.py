"""Starts that fail: why is told, what helps is done, remembered, and shown."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_plan import write_model
from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.proxy import write_config
from tests.support.waiting import wait_until


@pytest.fixture
def model(tmp_path):
    """The shape of Qwen1.5-7B-Chat: half a MiB of KV cache for each token."""
    return write_model(tmp_path / "qwen")


def config_of(tmp_path, model, arguments, lines="", **launcher):
    path = write_config(tmp_path / "c.yaml", **{"servers": 1, **launcher})
    text = re.sub(r"hf_model_id: .*", f"hf_model_id: {model}", path.read_text())
    text = re.sub(r"vllm_args: .*", f"vllm_args: {json.dumps(arguments)}", text)
    path.write_text(text.replace("  health_interval", f"{lines}  health_interval"))
    return path


@pytest.fixture
def start(start_proxy, tmp_path):
    def run(config):
        return start_proxy("--config", config, env={"XDG_STATE_HOME": str(tmp_path / "state")})
    return run


SMALL = {"sim_kv_memory": "4.85GiB"}


def test_a_context_that_does_not_fit_is_shortened_and_that_is_remembered(start, tmp_path, model):
    config = config_of(tmp_path, model, SMALL)
    proxy = start(config).ready(1)
    told = "\n".join(proxy.errors)
    assert "engine-0 did not start" in told and "cause: The KV cache cannot hold" in told, told
    shortened = re.search(r"repair: max_model_len \S*-> (\d+)", told)
    assert shortened and 9904 <= int(shortened[1]) <= 9936, told
    assert shortened[1] in proxy.status()["backends"][0]["repairs"][0]
    assert complete(proxy.url, "x", model=str(model))[0].status == 200
    proxy.stop()

    again = start(config).ready(1)
    told = "\n".join(again.errors)
    assert "as in an earlier run: max_model_len" in told and "did not start" not in told, told

    def plan(*words):
        return subprocess.run([PROXY, "plan", *words], capture_output=True, text=True, timeout=60, check=True,
                              env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}).stdout

    noted = f"note: repaired in an earlier run on sim x1, vLLM unknown: max_model_len -> {shortened[1]}"
    assert noted in plan(model, "--assume-gpus", "1x24GiB")
    again.stop()

    assert plan("--forget", "--config", config) == f"{model}: 1 repairs forgotten; a batchproxy that runs keeps to its own\n"
    assert "earlier run" not in plan(model, "--assume-gpus", "1x24GiB")
    start(config).ready(1).wait_for_error("did not start")


def test_a_pinned_context_is_refused_with_what_would_fit(start, tmp_path, model):
    proxy = start(config_of(tmp_path, model, {**SMALL, "max_model_len": 32768}))
    assert proxy.wait() == 4
    told = "\n".join(proxy.errors)
    assert re.search(r"\| 1\. --max-model-len 99\d\d: a request of 9,9\d\d tokens needs 4\.8\d GiB of 4\.85 GiB", told), told
    assert "max_model_len was set by you" in told and told.count("did not start") == 1, told


def test_an_engine_that_fits_starts_untouched(start, tmp_path, model):
    proxy = start(config_of(tmp_path, model, {"sim_kv_memory": "16.1GiB"})).ready(1)
    assert "repairs" not in proxy.status()["backends"][0] and not any("start" in line for line in proxy.errors)


def test_with_repair_off_nothing_is_changed(start, tmp_path, model):
    proxy = start(config_of(tmp_path, model, SMALL, repair=False))
    assert proxy.wait() == 4
    told = "\n".join(proxy.errors)
    assert "repair:" not in told and re.search(r"\| 1\. ", told), told


@pytest.mark.parametrize("failure, change", [
    ("mamba-blocks", "max_num_seqs"), ("oom-capture", "gpu_memory_utilization"),
    ("oom-profile", "max_num_batched_tokens"), ("no-nvcc", "VLLM_USE_FLASHINFER_SAMPLER")])
def test_what_a_flag_prevents_is_prevented(start, tmp_path, failure, change):
    proxy = start(config_of(tmp_path, "org/model", {"sim_fail": failure})).ready(1)
    assert change in proxy.status()["backends"][0]["repairs"][0]
    assert complete(proxy.url, "x", model="org/model")[0].status == 200


def test_an_engine_gets_spare_gpus_and_that_is_remembered(start, tmp_path):
    config = config_of(tmp_path, "org/model", {"sim_fail": "oom-load"}, gpus="4,5,6")
    proxy = start(config).ready(1)
    told = "\n".join(proxy.errors)
    assert "repair: tensor_parallel_size -> 2: one GPU's memory is too small" in told and "GPUs 4 -> 4,5" in told, told
    backend = proxy.status()["backends"][0]
    assert backend["gpus"] == "4,5" and backend["repairs"][1] == "GPUs 4 -> 4,5"
    environment = (Path("/proc") / str(proxy.engine_pids(2)[1]) / "environ").read_bytes().split(b"\0")
    assert b"CUDA_VISIBLE_DEVICES=4,5" in environment
    proxy.stop()

    again = start(config).ready(1)
    again.wait_for_error("as in an earlier run: GPUs 4 -> 4,5")
    assert not any("did not start" in line for line in again.errors), again.output()
    assert again.status()["backends"][0]["gpus"] == "4,5"
    again.stop()

    alone = start(config_of(tmp_path, "org/model", {"sim_fail": "oom-load"}, gpus=["4"]))
    assert alone.wait() == 4, "there is none to spare, and what was remembered does not fit"
    assert "nothing that batchproxy may change would help" in "\n".join(alone.errors), alone.output()


def test_engines_do_not_get_the_same_spare_gpu(start, tmp_path):
    proxy = start(config_of(tmp_path, "org/model", {"sim_fail": "oom-load"}, servers=2, gpus="0,1,2,3")).ready(2)
    assert sorted(backend["gpus"] for backend in proxy.status()["backends"]) in (["0,2", "1,3"], ["0,3", "1,2"])


def test_engines_that_fail_alike_are_told_once(start, tmp_path):
    proxy = start(config_of(tmp_path, "org/model", {"max_model_len": 99999999}, servers=3))
    assert proxy.wait() == 4
    told = "\n".join(proxy.errors)
    assert told.count("cause:") == 1, told
    # Once with all their names; or with its own, if it was slow.
    names = re.findall(r"(engine-\d)(?=[^:]* did not start)", told)
    assert sorted(names) == ["engine-0", "engine-1", "engine-2"], told


def test_a_death_is_told_by_its_cause(start, tmp_path):
    proxy = start(config_of(tmp_path, "org/model", {"sim_die_after": 1}))
    proxy.ready(1)
    complete(proxy.url, "x", model="org/model")
    wait_until(lambda: any("has ended" in line for line in proxy.errors), "its end")
    wait_until(lambda: any("cause:" in line for line in proxy.errors), "the cause")
