"""batchproxy plan: the memory of an engine that nobody has started."""
import json
import os
import struct
import subprocess

import pytest

from tests.support.builds import BUILD, PROXY

QWEN = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 151936,
        "max_position_embeddings": 32768, "torch_dtype": "bfloat16"}
PARAMETERS = 7_721_324_544


def write_model(folder, config=QWEN, parameters=PARAMETERS):
    """A model whose weights are a header, and a hole as long as it tells."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps({"model.layers.0.mlp.up_proj.weight": {
        "dtype": "BF16", "shape": [parameters], "data_offsets": [0, 2 * parameters]}}).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 2 * parameters)
    return folder


@pytest.fixture
def plan(tmp_path):
    """plan(*words): what `batchproxy plan` says; with json=True what it says to programs."""
    def run(*words, json_wanted=False, **variables):
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "HF_HOME": str(tmp_path / "hf"),
                       **variables}
        done = subprocess.run([PROXY, "plan", *map(str, words), *(["--json"] if json_wanted else [])],
                              capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
        return (done, json.loads(done.stdout)) if json_wanted else done
    return run


def test_the_famous_error_is_planned_before_the_start(plan, tmp_path):
    model = write_model(tmp_path / "qwen")
    done, report = plan(model, "--kv-cache-memory", "4.85GiB", json_wanted=True)
    assert done.returncode == 0 and not done.stderr
    assert report["fits"] and 9904 <= report["max_model_len"] <= 9936
    assert report["shortened_from"] == 32768 and "SHORTENED" in report["notes"][0]
    assert [(each["argument"], each["value"]) for each in report["set"]] == [
        ("max_model_len", str(report["max_model_len"]))]

    _, pinned = plan(model, "--kv-cache-memory", "4.85GiB", "--max-model-len", 32768, json_wanted=True)
    assert not pinned["fits"] and pinned["max_model_len"] == 32768
    assert pinned["needed_kv_gib"] == pytest.approx(16.0, abs=0.01)
    assert pinned["suggestions"][0]["flag"] == f"--max-model-len {report['max_model_len']}"

    _, enough = plan(model, "--kv-cache-memory", "16.1GiB", json_wanted=True)
    assert enough["fits"] and enough["max_model_len"] == 32768 and enough["shortened_from"] is None


def test_the_flags_of_the_engine_change_the_plan(plan, tmp_path):
    model = write_model(tmp_path / "qwen")
    _, one = plan(model, "--assume-gpus", "8xH100-80GB", json_wanted=True)
    _, two = plan(model, "--assume-gpus", "8xH100-80GB", "--tensor-parallel-size", 2, "--kv-cache-dtype", "fp8",
                  "--gpu-memory-utilization", 0.5, "--max-num-seqs=64", "--enforce-eager", json_wanted=True)
    assert (one["tensor_parallel_size"], two["tensor_parallel_size"]) == (1, 2)
    assert two["per_gpu"]["kv_bytes_per_token"] * 4 == one["per_gpu"]["kv_bytes_per_token"] == 524288
    assert two["per_gpu"]["weights_gib"] == pytest.approx(one["per_gpu"]["weights_gib"] / 2, abs=1e-3)
    assert two["per_gpu"]["requested_gib"] == pytest.approx(79.19 / 2, abs=0.01)
    assert two["per_gpu"]["graphs_gib"] == 0 and two["max_num_seqs"] == 64


def test_gpus_are_chosen_by_index_by_number_or_by_what_the_model_needs(plan, tmp_path):
    model = write_model(tmp_path / "qwen")
    _, listed = plan(model, "--assume-gpus", "8xH100-80GB", "--gpus", "4,5-7", json_wanted=True)
    assert (listed["gpus"], listed["tensor_parallel_size"]) == ([4, 5, 6, 7], 4)
    assert plan(model, "--assume-gpus", "8xH100-80GB", "--gpu", "7", json_wanted=True)[1]["gpus"] == [7]
    assert len(plan(model, "--assume-gpus", "8x24GiB", "--num-gpus", "2", json_wanted=True)[1]["gpus"]) == 2
    assert len(plan(model, "--assume-gpus", "8x12GiB", json_wanted=True)[1]["gpus"]) == 2


@pytest.fixture
def box(tmp_path):
    """box(text): variables with which the driver of this machine has these GPUs."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libnvidia-ml.so.1").symlink_to(BUILD / "tests" / "liblauncher_fake_nvml.so")
    return lambda text, **more: {"LD_LIBRARY_PATH": str(tmp_path / "lib"), "FAKE_NVML": text,
                                 "CUDA_VISIBLE_DEVICES": "0,1,2,3", **more}


def test_of_the_gpus_that_are_here_those_with_the_most_free_memory_are_taken(plan, box, tmp_path):
    model = write_model(tmp_path / "qwen")
    four = box("gpus 4 name=NVIDIA_H100_80GB_HBM3 total=81088 used=0\ngpu 0 used=70000\ngpu 2 used=2000")
    _, one = plan(model, json_wanted=True, **four)
    assert (one["gpus"], one["tensor_parallel_size"], one["fits"]) == ([1], 1, True)
    assert one["per_gpu"]["requested_gib"] == pytest.approx(0.92 * 81088 / 1024, abs=0.01)
    _, three = plan(model, "--tensor-parallel-size", 2, json_wanted=True, **four)
    assert three["gpus"] == [1, 3]
    _, busy = plan(model, "--gpu", 0, json_wanted=True, **four)
    assert not busy["fits"] and busy["problems"][0].startswith("GPU 0 has 10.83 GiB free")
    ours = {**four, "CUDA_VISIBLE_DEVICES": "2"}
    assert plan(model, json_wanted=True, **ours)[1]["gpus"] == [2]


def test_the_configuration_says_which_model_and_with_which_flags(plan, tmp_path):
    model = write_model(tmp_path / "qwen")
    (tmp_path / "c.yaml").write_text(
        f"model: {{generator_settings: {{boot_local: true, hf_model_id: {model}, "
        "vllm_args: {tensor_parallel_size: 2, max_model_len: 4096}}}\n")
    _, report = plan("--config", "c.yaml", "--assume-gpus", "2xH100-80GB", "--max-model-len", "8k", json_wanted=True)
    assert (report["tensor_parallel_size"], report["max_model_len"]) == (2, 8000)


def test_each_kind_of_engine_of_a_configuration_is_planned_once(plan, tmp_path):
    small, large = write_model(tmp_path / "small"), write_model(tmp_path / "large")
    servers = [{"count": 3, "hf_model_id": str(small)}, {"hf_model_id": str(large)}]
    (tmp_path / "c.yaml").write_text(
        "model: {generator_settings: {boot_local: true}}\n"
        f"batchproxy: {{launcher: {json.dumps({'servers': servers})}}}\n")
    _, report = plan("--config", "c.yaml", "--assume-gpus", "8xH100-80GB", json_wanted=True)
    assert [engine["model"] for engine in report["engines"]] == [str(small), str(large)]
    assert plan("--config", "c.yaml", "--assume-gpus", "8xH100-80GB").stdout.count("It fits.") == 2


@pytest.mark.parametrize("config, reason", [
    ({"model_type": "new_thing"}, "there is no formula for model_type 'new_thing'"),
    ({**QWEN, "num_hidden_layers": "32"}, "num_hidden_layers must be a whole number"),
    ({**QWEN, "vocab_size": None}, "vocab_size is missing")])
def test_what_cannot_be_planned_is_told_and_no_failure(plan, tmp_path, config, reason):
    model = write_model(tmp_path / "odd", config)
    done = plan(model, "--assume-gpus", "1xH100-80GB")
    assert done.returncode == 0 and f"not planned: {model}/config.json: {reason}" in done.stdout


def test_a_model_that_is_not_here_is_told_and_no_failure(plan):
    done, report = plan("org/name", "--assume-gpus", "1xH100-80GB", json_wanted=True)
    assert done.returncode == 0 and report["planned"] is False
    assert report["reason"].startswith("'org/name' is neither a directory nor in the cache ")


def test_a_truncated_file_is_named(plan, tmp_path):
    model = write_model(tmp_path / "qwen")
    with open(model / "model.safetensors", "r+b") as file:
        file.truncate(100)
    done = plan(model, "--assume-gpus", "1xH100-80GB")
    assert f"not planned: {model}/model.safetensors: truncated" in done.stdout, done.stdout


def test_what_was_learnt_is_planned_with(plan, tmp_path):
    model = write_model(tmp_path / "qwen")
    (tmp_path / "state" / "batchproxy").mkdir(parents=True)
    flags = "tp=1 pp=1 dtype=auto quantization= kv=auto seqs=1024 batched=8192 eager=0 offload=0 mtp=0"
    (tmp_path / "state" / "batchproxy" / "learned.json").write_text(json.dumps({"memory": [
        {"model": str(model), "gpu": "H100-80GB", "version": "0.33", "flags": flags, "available_kv_bytes": 2**35}]}))
    _, report = plan(model, "--assume-gpus", "1xH100-80GB", json_wanted=True)
    assert report["learned"] and report["per_gpu"]["available_kv_gib"] == 32


@pytest.mark.parametrize("words, said", [
    (["--assume-gpus", "many"], "--assume-gpus many: expected a count and a size"),
    (["--assume-gpus", "1x24GiB", "--gpus", "0;1"], "--gpus: expected indices such as 4,5,6,7"),
    (["--assume-gpus", "1x24GiB", "--gpus", "4"], "--gpus: GPU 4 is none of the 1 that can be planned for"),
    (["--assume-gpus", "1x24GiB", "--kv-cache-memory", "lots"], "kv_cache_memory_bytes: must be a number of bytes"),
    (["--assume-gpus", "1x24GiB", "--max-model-len", "long"], "max_model_len: must be a whole number from 1"),
    (["--assume-gpus", "1x24GiB", "--engine-version", "new"], "--engine-version: expected one such as 0.33.0"),
    ([], "for GPUs that are not here, describe them: --assume-gpus 8xH100-80GB")])
def test_words_that_cannot_be_used_are_refused(plan, words, said):
    done = plan("m", *words)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and said in done.stderr, done.stderr
