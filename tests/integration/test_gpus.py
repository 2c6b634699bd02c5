"""`gpus`, `doctor` and `launch` on boxes of a fake driver library."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.integration.test_plan import write_model
from tests.support.asking import call
from tests.support.builds import BUILD, PROXY, ROOT
from tests.support.proxy import write_config
from tests.support.waiting import assert_never, wait_until

EIGHT = ROOT / "tests" / "launcher" / "gpus" / "eight_gpus.box"


@pytest.fixture
def on_box(tmp_path):
    """Runs batchproxy where the driver has `box`, a text or a file; none for a machine without a driver."""
    libraries = tmp_path / "lib"
    libraries.mkdir()
    (libraries / "libnvidia-ml.so.1").symlink_to(BUILD / "tests" / "liblauncher_fake_nvml.so")

    def environment(box, more):
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("BATCHPROXY_", "VLLM_", "CUDA_", "NVIDIA_"))}
        return {**kept, "LD_LIBRARY_PATH": str(libraries), "FAKE_NVML": str(box), **more}

    def run(box, *words, **more):
        return subprocess.run([PROXY, *words], cwd=tmp_path, env=environment(box, more), text=True,
                              capture_output=True, timeout=60, check=False)
    run.environment = environment
    return run


def test_the_box_in_the_documents_is_shown_as_there(on_box):
    shown = "```\n" + on_box(EIGHT, "gpus").stdout + "```\n"
    path = ROOT / "docs" / "GPUS.md"
    begin, end = "<!-- batchproxy gpus: begin -->\n", "<!-- batchproxy gpus: end -->"
    before, rest = path.read_text().split(begin)
    written, after = rest.split(end)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(before + begin + shown + end + after)
    else:
        assert written == shown


def test_the_gpus_of_our_engines_are_in_the_metrics(on_box, start_proxy, tmp_path):
    box = tmp_path / "box"
    box.write_text("gpus 2 name=NVIDIA_H100 total=81559 used=1000\ngpu 1 util=40 temp=55 sent=3 received=5\nlink 0 1 2\n")
    config = write_config(tmp_path / "c.yaml", servers=1, gpus=[0, 1])
    proxy = start_proxy("--config", config, env=on_box.environment(box, {})).ready(1)
    metrics = wait_until(lambda: (lambda found: found if 'batchproxy_gpu_memory_used_bytes{gpu="1"}' in found else None)(
        proxy.metrics()), "the GPUs")
    assert metrics['batchproxy_gpu_memory_total_bytes{gpu="1"}'] == 81559 << 20
    assert metrics['batchproxy_gpu_memory_used_bytes{gpu="0"}'] == 1000 << 20
    assert metrics['batchproxy_gpu_utilization_percent{gpu="1"}'] == 40
    assert metrics['batchproxy_gpu_temperature_celsius{gpu="1"}'] == 55
    assert metrics['batchproxy_gpu_nvlink_received_bytes_total{gpu="1"}'] == 5 * 1024
    assert [gpu["gpu"] for gpu in proxy.status()["gpus"]] == ["0", "1"]


def test_a_simulated_engine_on_named_gpus_goes_by_the_gate(on_box, start_proxy, tmp_path):
    box = tmp_path / "box"
    box.write_text("gpus 2 name=NVIDIA_H100 total=81559\n")
    config = write_config(tmp_path / "c.yaml", servers=1, gpus=[0, 1])
    proxy = start_proxy("--config", config, env=on_box.environment(box, {})).ready(1)
    box.write_text("gpus 2 name=NVIDIA_H100 total=81559 used=70000\n")
    os.kill(proxy.engine_pids(1)[0], signal.SIGKILL)
    assert_never(lambda: len(proxy.engine_pids(1)) > 1, 3, "it starts while the memory is not back")
    box.write_text("gpus 2 name=NVIDIA_H100 total=81559\n")
    proxy.engine_pids(2)


def test_json_tells_which_gpus_are_ours(on_box):
    shown = json.loads(on_box(EIGHT, "gpus", "--json", CUDA_VISIBLE_DEVICES="7,GPU-00a0b0c2").stdout)
    assert [gpu["index"] for gpu in shown["gpus"] if gpu["ours"]] == [2, 7]
    assert shown["gpus"][0]["nvlink_neighbours"] == [1, 2, 3, 4, 5, 6, 7]
    assert shown["gpus"][3]["memory"]["free"] == (81559 - 61234) << 20


def test_a_missing_driver_is_one_sentence(on_box):
    shown = on_box("init 9", "gpus")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == ("error: cannot ask the NVIDIA driver for its GPUs (nvmlInit returned 9, Driver Not Loaded: "
                            "the kernel has no NVIDIA driver loaded)\n")


def test_watch_shows_them_until_it_is_interrupted(on_box, tmp_path):
    watch = subprocess.Popen([PROXY, "gpus", "--watch", "--json"], cwd=tmp_path, env=on_box.environment(EIGHT, {}),
                             text=True, stdout=subprocess.PIPE)
    with watch:
        for _ in range(2):
            assert len(json.loads(watch.stdout.readline())["gpus"]) == 8
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0


def test_launch_gives_one_engine_all_gpus(on_box):
    shown = on_box(EIGHT, "launch", "org/model", "8", "0.9", "--dry-run").stdout
    assert "CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7" in shown
    assert "vllm serve org/model" in shown
    assert "--gpu-memory-utilization 0.9 --tensor-parallel-size 8" in shown
    all_of_them = on_box(EIGHT, "launch", "org/model", "--servers", "4", "--dry-run").stdout
    assert re.findall(r"CUDA_VISIBLE_DEVICES=(\S+)", all_of_them) == ["0,1", "2,3", "4,5", "6,7"]


def test_launch_needs_a_model_and_takes_no_fourth_word(on_box):
    assert on_box(EIGHT, "launch").returncode == 2
    assert on_box(EIGHT, "launch", "m", "8", "0.9", "more").returncode == 2


def test_gpus_left_over_are_told(on_box):
    told = on_box(EIGHT, "--model", "m", "--tensor-parallel-size", "3", "--servers", "auto", "--dry-run").stderr
    assert "notice: 2 of 8 GPUs left over: no engine gets them (2 engines x tensor_parallel_size 3)" in told


def test_the_installed_version_decides_on_the_arguments(on_box, tmp_path):
    bin_folder = tmp_path / "venv" / "bin"
    packages = tmp_path / "venv" / "lib" / "python3.12" / "site-packages"
    (packages / "vllm-0.33.0.dist-info").mkdir(parents=True)
    (packages / "vllm-0.33.0.dist-info" / "METADATA").write_text("Name: vllm\n")
    bin_folder.mkdir()
    (bin_folder / "vllm").write_text(f"#!{bin_folder}/python3\n")
    (bin_folder / "vllm").chmod(0o755)
    config = tmp_path / "c.yaml"
    config.write_text("model: {generator_settings: {boot_local: true, hf_model_id: m, "
                      "vllm_args: {task: embed, swap_space: 4}}}\n")
    shown = on_box(EIGHT, "--config", config, "--dry-run", PATH=f"{bin_folder}:{os.environ['PATH']}")
    assert "--runner pooling --convert embed --disable-access-log-for-endpoints /health,/metrics\n" in shown.stdout
    assert "swap" not in shown.stdout
    assert "notice: vllm_args.swap_space: vLLM 0.33.0 no longer has it; left out" in shown.stderr


def test_doctor_ends_with_one_where_something_fails(on_box, tmp_path):
    shown = on_box("init 9", "doctor", "--json")
    found = json.loads(shown.stdout)
    assert shown.returncode == 1 and not found["ok"]
    assert {"name": "GPUs", "verdict": "failure"}.items() <= found["checks"][0].items()
    assert found["checks"][0]["fix"]
    config = tmp_path / "c.yaml"
    config.write_text("model: {generator_settings: {boot_local: true, hf_model_id: m}}\n"
                      "batchproxy: {launcher: {engine: sim}, listen: '0', admin: '0'}\n")
    healthy = on_box("init 9", "doctor", "--config", config)
    assert healthy.returncode == 0, healthy.stdout
    assert "failure  " not in healthy.stdout


def test_doctor_tells_mistakes_of_the_file_as_check_does(on_box, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("batchproxy: {listn: 1}\n")
    shown = on_box(EIGHT, "doctor", "--config", config)
    assert shown.returncode == 2 and "did you mean 'listen'" in shown.stderr


@pytest.mark.parametrize("name, share", [("development", "0.8"), ("staging", "0.85"), ("production", "0.9")])
def test_shipped_environments_take_their_share_of_memory(on_box, name, share):
    shown = on_box(EIGHT, "--config", ROOT / "configs" / f"{name}.yaml", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert set(re.findall(r"--gpu-memory-utilization (\S+)", shown.stdout)) == {share}


def test_adapters_that_engines_start_with_are_names_of_models_from_the_start(start_proxy, tmp_path):
    config = write_config(tmp_path / "c.yaml", servers=2)
    config.write_text(config.read_text().replace("max_num_seqs: 64", "max_num_seqs: 64, lora_modules: [sql=/a/sql]"))
    proxy = start_proxy("--config", config)
    pids = proxy.engine_pids(2)
    assert all(b"--lora-modules\0sql=/a/sql\0--enable-lora" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
               for pid in pids)
    proxy.wait_for_line(r"ready: \d of 2 backends serve .*\bsql\b")
    # Routed, and refused by the simulated engine, which loads none at its start: its words, not ours.
    proxy.ready(2)
    answer, body = call(proxy.url, "/v1/completions", {"model": "sql", "prompt": "x", "max_tokens": 1})
    assert answer.status == 404 and b"does not exist" in body


def test_plan_takes_the_gpus_that_are_here_and_free(on_box, tmp_path):
    model = write_model(tmp_path / "qwen")
    planned = json.loads(on_box(EIGHT, "plan", model, "--num-gpus", "4", "--json").stdout)
    assert planned["fits"] and 3 not in planned["gpus"]  # somebody works there
    assert json.loads(on_box(EIGHT, "plan", model, "--gpus", "6,7", "--json").stdout)["gpus"] == [6, 7]
    assert json.loads(on_box(EIGHT, "plan", model, "--gpu", "0", "--gpu-memory", "0.5",
                             "--json").stdout)["per_gpu"]["requested_gib"] == pytest.approx(79.65 / 2, abs=0.05)
    limited = json.loads(on_box(EIGHT, "plan", model, "--json", CUDA_VISIBLE_DEVICES="5").stdout)
    assert limited["gpus"] == [5]
    without = on_box("init 9", "plan", model)
    assert without.returncode == 2
    assert "cannot ask the NVIDIA driver" in without.stderr and "--assume-gpus 8xH100-80GB" in without.stderr


def test_profile_auto_is_cpu_without_a_driver(on_box):
    shown = on_box("init 9", "--model", "m", "--profile", "auto", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "CUDA_VISIBLE_DEVICES='' " in shown.stdout and "VLLM_CPU_KVCACHE_SPACE=4 " in shown.stdout
    assert "notice: profile auto means cpu here: cannot ask the NVIDIA driver" in shown.stderr


def test_no_engine_gets_a_lost_gpu(on_box):
    shown = on_box("gpus 3\nlost 1", "--model", "m", "--servers", "auto", "--dry-run")
    assert re.findall(r"CUDA_VISIBLE_DEVICES=(\S+)", shown.stdout) == ["0", "2"]
    assert "warning: GPU 1 is lost" in shown.stderr


@pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="needs an NVIDIA GPU")
def test_the_inventory_of_a_real_gpu_is_that_of_nvidia_smi(tmp_path):
    fields = "index,uuid,name,memory.total,driver_version"
    told = subprocess.run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
                          text=True, capture_output=True, timeout=60, check=True).stdout
    shown = json.loads(subprocess.run([PROXY, "gpus", "--json"], cwd=tmp_path, text=True, capture_output=True,
                                      timeout=60, check=True).stdout)
    ours = [[str(gpu["index"]), gpu["uuid"], gpu["name"], str(gpu["memory"]["total"] >> 20), shown["driver"]]
            for gpu in shown["gpus"]]
    assert ours == [line.split(", ") for line in told.splitlines()]


CUDA_ENGINE = """
import ctypes, http.server, json, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_ulonglong()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(1 << 30)) == 0
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


@pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="needs an NVIDIA GPU")
def test_a_real_gpus_memory_is_seen_taken_and_given_back(start_proxy, tmp_path):
    def free():
        shown = subprocess.run([PROXY, "gpus", "--json"], text=True, capture_output=True, timeout=60, check=True)
        return json.loads(shown.stdout)["gpus"][0]["memory"]["free"]

    (tmp_path / "engine.py").write_text(CUDA_ENGINE)
    config = tmp_path / "c.yaml"
    command = json.dumps([sys.executable, str(tmp_path / "engine.py"), "{port}", "{gpus}"])
    config.write_text("model: {generator_settings: {boot_local: true, hf_model_id: m}}\n"
                      f"batchproxy: {{launcher: {{engine: command, gpu: '0', command: {command}}}}}\n")
    before = free()
    proxy = start_proxy("--config", config).ready(1)
    assert before - free() > 1 << 30
    proxy.stop()
    wait_until(lambda: before - free() < 64 << 20, "the memory to be free again")


def pinned(shown):
    return re.findall(r"CUDA_VISIBLE_DEVICES=(\S+)", shown.stdout)


def test_engines_get_neighbours_with_the_most_free_memory(on_box, tmp_path):
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    config = write_config(tmp_path / "c.yaml", servers=2, engine="vllm", executable=str(tmp_path / "vllm"))
    box = "gpus 4 name=H100 total=81559\ngpu 0 used=60000\nlink 1 3 18\nlink 0 2 18\n"
    assert pinned(on_box(box, "--config", config, "--dry-run")) == ["0,2", "1,3"]
    one = write_config(tmp_path / "one.yaml", servers=1, engine="vllm", executable=str(tmp_path / "vllm"))
    assert pinned(on_box(box, "--config", one, "--dry-run")) == ["1,3"], "GPU 0 is in use"
    # Whoever limits us has an order in mind.
    assert pinned(on_box(box, "--config", config, "--dry-run", CUDA_VISIBLE_DEVICES="0,1,2,3")) == ["0,1", "2,3"]
    idle = "gpus 4 name=H100 total=81559\n"
    assert pinned(on_box(idle, "--config", config, "--dry-run")) == ["0,1", "2,3"]
